//! What critest reports about one run, read from Ginkgo's JSON report. Knows the report's form, not what is compared.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What every group's name begins with.
const PREFIX: &str = "[k8s.io] ";

/// One spec's name, the same in every run and on every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpecName {
    /// The outermost group, `Networking` for example.
    pub(super) area: String,
    /// The rest.
    pub(super) title: String,
}

impl SpecName {
    pub(super) fn new(groups: &[String], leaf: &str) -> Self {
        let (area, inner) =
            groups.split_first().map_or(("", &[][..]), |(area, inner)| (area.as_str(), inner));
        let title: Vec<&str> = inner.iter().map(String::as_str).chain([leaf]).collect();
        Self { area: area.trim_start_matches(PREFIX).to_owned(), title: title.join(" ") }
    }
}

/// What Ginkgo's regular expressions are matched with, without the prefix that all names share.
impl fmt::Display for SpecName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.area, self.title)
    }
}

/// How one spec ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// The spec's own reason.
    Skipped(String),
    Failed(Failure),
}

/// Why a spec failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    /// File and line in critest.
    pub(super) location: String,
    /// What the spec wrote while it ran.
    pub(super) output: String,
}

/// One spec of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) name: SpecName,
    pub(super) outcome: Outcome,
    /// Why earlier attempts failed, where the last one passed.
    pub(super) earlier: Vec<Failure>,
    /// Of all attempts.
    pub(super) time: Duration,
}

/// One run of the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SuiteRun {
    /// Those that were selected to run.
    pub(super) specs: Vec<Spec>,
    pub(super) time: Duration,
}

impl SuiteRun {
    /// Reads a report file's content.
    ///
    /// # Errors
    /// When it is no such report, or the suite as a whole failed to run, so that its specs say nothing.
    pub(super) fn parse(report: &str) -> Result<Self> {
        let suites: Vec<SuiteReport> = serde_json::from_str(report).context("parse Ginkgo's report")?;
        let [suite] = suites.as_slice() else {
            bail!("the report has {} suites instead of one", suites.len())
        };
        let mut specs = Vec::new();
        for spec in suite.spec_reports.iter().flatten() {
            if spec.leaf_node_type == "It" {
                specs.extend(spec.selected());
            } else if let Outcome::Failed(failure) = spec.outcome() {
                bail!("critest's {} failed: {}", spec.leaf_node_type, failure.message);
            }
        }
        specs.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some([first, _]) = specs.array_windows().find(|[one, other]| one.name == other.name) {
            bail!("two specs are called \"{}\", results cannot be told apart", first.name);
        }
        let reasons = suite.special_suite_failure_reasons.as_deref().unwrap_or_default();
        // A failed spec is no such reason; each of them means that some did not run.
        if !reasons.is_empty() {
            bail!("critest did not run to its end: {}", reasons.join(", "));
        }
        Ok(Self { specs, time: Duration::from_nanos(suite.run_time) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SuiteReport {
    run_time: u64,
    special_suite_failure_reasons: Option<Vec<String>>,
    spec_reports: Option<Vec<SpecReport>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    run_time: u64,
    num_attempts: u32,
    failure: Option<FailureReport>,
    additional_failures: Option<Vec<AdditionalFailureReport>>,
    #[serde(default)]
    captured_ginkgo_writer_output: String,
    #[serde(default)]
    captured_std_out_err: String,
}

/// Of an earlier attempt, or of a clean-up after the failure.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AdditionalFailureReport {
    failure: FailureReport,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FailureReport {
    #[serde(default)]
    message: String,
    location: Option<LocationReport>,
    #[serde(default)]
    forwarded_panic: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LocationReport {
    #[serde(default)]
    file_name: String,
    #[serde(default)]
    line_number: u32,
}

impl SpecReport {
    /// The spec, unless `--focus` and `--skip` left it out: then it was not even attempted.
    fn selected(&self) -> Option<Spec> {
        if self.state == "skipped" && self.num_attempts == 0 && self.failure.is_none() {
            return None;
        }
        let name = SpecName::new(
            self.container_hierarchy_texts.as_deref().unwrap_or_default(),
            &self.leaf_node_text,
        );
        let outcome = self.outcome();
        let earlier = if outcome == Outcome::Passed { self.earlier() } else { Vec::new() };
        Some(Spec { name, outcome, earlier, time: Duration::from_nanos(self.run_time) })
    }

    fn earlier(&self) -> Vec<Failure> {
        let failures = self.additional_failures.iter().flatten();
        failures
            .map(|AdditionalFailureReport { failure }| self.explain(failure.text(), Some(failure)))
            .collect()
    }

    fn outcome(&self) -> Outcome {
        match self.state.as_str() {
            "passed" => Outcome::Passed,
            "skipped" => Outcome::Skipped(self.message()),
            "pending" => Outcome::Skipped("pending".to_owned()),
            "failed" => Outcome::Failed(self.explain(self.message(), self.failure.as_ref())),
            other => {
                Outcome::Failed(self.explain(format!("{other}: {}", self.message()), self.failure.as_ref()))
            }
        }
    }

    fn message(&self) -> String {
        self.failure.as_ref().map(FailureReport::text).unwrap_or_default()
    }

    fn explain(&self, message: String, failure: Option<&FailureReport>) -> Failure {
        let location = failure.and_then(|failure| failure.location.as_ref());
        let output = [self.captured_ginkgo_writer_output.trim(), self.captured_std_out_err.trim()];
        Failure {
            message,
            location: location
                .map(|location| format!("{}:{}", location.file_name, location.line_number))
                .unwrap_or_default(),
            output: output.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n"),
        }
    }
}

impl FailureReport {
    fn text(&self) -> String {
        let parts = [self.message.trim(), self.forwarded_panic.trim()];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(text: &str, state: &str, more: &Value) -> Value {
        let mut spec = json!({
            "ContainerHierarchyTexts": ["[k8s.io] Networking", "runtime should support networking"],
            "LeafNodeType": "It",
            "LeafNodeText": text,
            "State": state,
            "RunTime": 1_500_000_000,
            "NumAttempts": 1,
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    fn parse(specs: &[Value]) -> Result<SuiteRun> {
        SuiteRun::parse(
            &json!([{"RunTime": 9_000_000_000_u64, "SpecialSuiteFailureReasons": null, "SpecReports": specs}]).to_string(),
        )
    }

    #[test]
    fn a_spec_has_its_area_its_title_and_its_time() {
        let run = parse(&[spec("should work", "passed", &json!({}))]).unwrap();
        assert_eq!(run.time, Duration::from_secs(9));
        assert_eq!(run.specs[0].name.area, "Networking");
        assert_eq!(run.specs[0].name.title, "runtime should support networking should work");
        assert_eq!(run.specs[0].outcome, Outcome::Passed);
        assert_eq!(run.specs[0].time, Duration::from_millis(1500));
    }

    #[test]
    fn a_failure_comes_with_its_place_and_what_the_spec_wrote() {
        let more = json!({
            "Failure": {"Message": "no answer", "Location": {"FileName": "networking.go", "LineNumber": 121}},
            "CapturedGinkgoWriterOutput": "asked\n",
            "CapturedStdOutErr": "waited\n",
        });
        let run = parse(&[spec("should answer", "failed", &more)]).unwrap();
        let expected = Failure {
            message: "no answer".into(),
            location: "networking.go:121".into(),
            output: "asked\nwaited".into(),
        };
        assert_eq!(run.specs[0].outcome, Outcome::Failed(expected));
    }

    #[test]
    fn a_spec_that_passed_at_last_keeps_why_it_failed_before() {
        let more = json!({
            "NumAttempts": 2,
            "AdditionalFailures": [{
                "State": "failed",
                "Failure": {"Message": "attempt 1: busy", "Location": {"FileName": "a.go", "LineNumber": 7}},
            }],
        });
        let run = parse(&[spec("should pass", "passed", &more)]).unwrap();
        assert_eq!(run.specs[0].outcome, Outcome::Passed);
        let earlier = &run.specs[0].earlier[0];
        assert_eq!((earlier.message.as_str(), earlier.location.as_str()), ("attempt 1: busy", "a.go:7"));
    }

    #[test]
    fn a_spec_that_timed_out_or_panicked_has_failed() {
        for state in ["timedout", "panicked", "interrupted", "aborted"] {
            let run = parse(&[spec("should end", state, &json!({"Failure": {"Message": "why"}}))]).unwrap();
            let Outcome::Failed(failure) = &run.specs[0].outcome else { panic!("{:?}", run.specs[0]) };
            assert_eq!(failure.message, format!("{state}: why"));
        }
    }

    #[test]
    fn a_spec_that_skips_itself_is_told_from_one_that_was_not_selected() {
        let not_selected = spec("unselected", "skipped", &json!({"NumAttempts": 0}));
        let skipped = spec("skips", "skipped", &json!({"Failure": {"Message": "no AppArmor"}}));
        let run = parse(&[not_selected, skipped]).unwrap();
        let outcomes: Vec<_> = run.specs.iter().map(|spec| &spec.outcome).collect();
        assert_eq!(outcomes, [&Outcome::Skipped("no AppArmor".into())]);
    }

    #[test]
    fn specs_are_sorted_by_name_whatever_order_they_ran_in() {
        let run = parse(&[spec("b", "passed", &json!({})), spec("a", "passed", &json!({}))]).unwrap();
        let titles: Vec<_> =
            run.specs.iter().map(|spec| spec.name.title.rsplit(' ').next().unwrap()).collect();
        assert_eq!(titles, ["a", "b"]);
    }

    #[test]
    fn two_specs_of_one_name_are_refused() {
        let error = parse(&[spec("a", "passed", &json!({})), spec("a", "passed", &json!({}))]).unwrap_err();
        assert!(error.to_string().contains("two specs are called"), "{error}");
    }

    #[test]
    fn a_failed_preparation_of_the_whole_suite_is_an_error() {
        let before =
            spec("", "failed", &json!({"LeafNodeType": "BeforeSuite", "Failure": {"Message": "no socket"}}));
        let error = parse(&[before, spec("a", "skipped", &json!({}))]).unwrap_err();
        assert_eq!(error.to_string(), "critest's BeforeSuite failed: no socket");
    }

    #[test]
    fn a_suite_that_ended_early_is_an_error() {
        let report =
            json!([{"RunTime": 1, "SpecialSuiteFailureReasons": ["Interrupted by User"], "SpecReports": []}]);
        let error = SuiteRun::parse(&report.to_string()).unwrap_err();
        assert!(error.to_string().contains("Interrupted by User"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(SuiteRun::parse("").is_err());
        assert!(SuiteRun::parse("[]").unwrap_err().to_string().contains("0 suites"));
    }
}
