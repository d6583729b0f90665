//! JUnit XML for a CI system: a test case fails exactly when it makes the whole run fail.

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::critest::comparison::Row;
use crate::critest::report::{Report, first_line, remark};
use crate::critest::tally::{Standing, Tally};

/// How much of a message goes into the one-line attribute.
const MESSAGE_CHARACTERS: usize = 300;

/// # Errors
/// When it cannot be written as XML.
pub(in crate::critest) fn render(report: &Report) -> Result<String> {
    let mut junit = Junit::new(report.title());
    let mut suite = TestSuite::new(report.tested.handler.clone());
    suite.set_time(report.tested.time);
    let facts = report.environment.facts.iter().chain(&report.settings);
    for (name, value) in facts {
        suite.add_property(Property::new(name.as_str(), value.as_str()));
    }
    suite.add_test_cases(report.comparison.rows().iter().map(|row| case(report, row)));
    junit.add_test_suite(suite);
    if !report.comparison.stale().is_empty() {
        let mut list = TestSuite::new("list of what cannot run");
        list.add_test_cases(report.comparison.stale().iter().map(|stale| {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!("this entry has to go: {}", stale.why));
            TestCase::new(stale.name.as_str(), status)
        }));
        junit.add_test_suite(list);
    }
    junit.to_string().context("write the results as JUnit XML")
}

fn case(report: &Report, row: &Row) -> TestCase {
    let mut case = TestCase::new(row.name.title.as_str(), status(report, row));
    case.set_classname(row.name.area.as_str());
    if let Some(time) = row.tested.time() {
        case.set_time(time);
    }
    if let (Some(side), Some(tally)) = (&report.baseline, &row.baseline) {
        case.add_property(Property::new(side.handler.as_str(), tally.to_string()));
    }
    let output: Vec<&str> =
        row.tested.failures().iter().map(|(_, failure)| failure.output.as_str()).collect();
    if !output.concat().is_empty() {
        case.set_system_out(output.join("\n"));
    }
    case
}

fn status(report: &Report, row: &Row) -> TestCaseStatus {
    let remark = remark(row).unwrap_or_default();
    let message = format!("{}: {}", row.verdict.word(), first_line(&remark, MESSAGE_CHARACTERS));
    if report.comparison.fails(row.verdict) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(message).set_type(row.verdict.word()).set_description(described(&row.tested));
        return status;
    }
    if row.tested.standing() == Standing::Passed {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn described(tally: &Tally) -> String {
    let failures = tally.failures().iter();
    let described: Vec<_> = failures
        .map(|(run, failure)| format!("run {run}, {}\n{}", failure.location, failure.message))
        .collect();
    if described.is_empty() { tally.to_string() } else { described.join("\n\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critest::ginkgo::Outcome;
    use crate::critest::report::tests::{everything, report};
    use crate::critest::tally::tests::run;

    fn parsed(report: &Report) -> Junit {
        Junit::deserialize_from_str(&render(report).unwrap()).unwrap()
    }

    #[test]
    fn a_case_fails_exactly_when_it_makes_the_run_fail() {
        let junit = parsed(&everything());
        let suite = &junit.test_suites[0];
        assert_eq!((suite.name.as_str(), suite.tests, suite.failures), ("ballast", 7, 3));
        let failed: Vec<_> = suite
            .test_cases
            .iter()
            .filter(|case| matches!(case.status, TestCaseStatus::NonSuccess { .. }))
            .map(|case| case.name.as_str())
            .collect();
        assert_eq!(failed, ["fails", "neither", "regresses"]);
    }

    #[test]
    fn a_failure_has_its_message_its_place_and_the_baseline_beside_it() {
        let text = render(&everything()).unwrap();
        for expected in [
            "<testcase name=\"regresses\" classname=\"Area\" time=\"1.000\"",
            "message=\"regression: lost it\" type=\"regression\"",
            "run 1, a.go:1\nlost it\nsecond line",
            "<property name=\"runc\" value=\"passed\"/>",
            "<system-out>log</system-out>",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn an_entry_that_has_to_go_is_a_failed_case() {
        let passing = [run(&[("listed", Outcome::Passed)])];
        let list = "[[spec]]\nname = \"Area listed\"\nreason = \"x\"\n";
        let junit = parsed(&report(Some(&passing), &passing, list));
        assert_eq!(junit.test_suites[1].failures, 1);
        assert_eq!(junit.test_suites[1].test_cases[0].name.as_str(), "Area listed");
    }
}
