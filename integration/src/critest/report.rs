//! What a comparison found, in the words that every form of the report shares. Knows no form.

use std::time::Duration;

use super::comparison::{Comparison, Row, Verdict};
use super::environment::Environment;
use super::tally::Results;

/// One handler's part.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) handler: String,
    /// All runs together.
    pub(super) time: Duration,
    pub(super) runs: u32,
}

impl Side {
    pub(super) fn new(handler: &str, results: &Results) -> Self {
        Self { handler: handler.to_owned(), time: results.time(), runs: results.runs() }
    }
}

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) environment: Environment,
    pub(super) tested: Side,
    pub(super) baseline: Option<Side>,
    /// How the suite was run, where that was not the default: name and value.
    pub(super) settings: Vec<(String, String)>,
    pub(super) comparison: Comparison,
}

impl Report {
    /// `Ballast beside runc`, in one line.
    pub(super) fn title(&self) -> String {
        match &self.baseline {
            Some(baseline) => format!("critest: {} beside {}", self.tested.handler, baseline.handler),
            None => format!("critest: {}", self.tested.handler),
        }
    }

    pub(super) fn succeeded(&self) -> bool {
        self.comparison.objections().is_empty()
    }

    /// The verdict on the whole, in one line.
    pub(super) fn conclusion(&self) -> String {
        let objections = self.comparison.objections();
        if !objections.is_empty() {
            return objections.join("; ");
        }
        match &self.baseline {
            Some(baseline) => {
                format!("Everything that passes on {} passes on {}.", baseline.handler, self.tested.handler)
            }
            None => format!("Everything that ran passes on {}.", self.tested.handler),
        }
    }

    /// How many specs have which verdict, without those that none has.
    pub(super) fn counts(&self) -> Vec<(Verdict, usize)> {
        let counted = Verdict::ALL.into_iter().rev().map(|verdict| (verdict, self.comparison.count(verdict)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// The counts in words.
    pub(super) fn counted(&self) -> String {
        let total = self.comparison.rows().len();
        let counts: Vec<_> =
            self.counts().iter().map(|(verdict, count)| format!("{count} {}", verdict.word())).collect();
        format!("{total} specs: {}", counts.join(", "))
    }

    /// The time of both sides, in words.
    pub(super) fn timed(&self) -> String {
        let sides = self.baseline.iter().chain([&self.tested]);
        let timed: Vec<_> = sides
            .map(|side| {
                let runs = if side.runs == 1 { String::new() } else { format!(" ({} runs)", side.runs) };
                format!("{} {:.1} s{runs}", side.handler, side.time.as_secs_f64())
            })
            .collect();
        timed.join(", ")
    }

    /// What ran where and how, in one line.
    pub(super) fn introduction(&self) -> String {
        let facts = self.environment.facts.iter().chain(&self.settings);
        facts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// The specs that somebody should look at, worst first.
    pub(super) fn noteworthy(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self
            .comparison
            .rows()
            .iter()
            .filter(|row| row.verdict != Verdict::Passed || row.is_flaky())
            .collect();
        rows.sort_by_key(|row| row.verdict);
        rows
    }

    /// The rows by area, in order.
    pub(super) fn areas(&self) -> Vec<(&str, &[Row])> {
        self.comparison
            .rows()
            .chunk_by(|one, other| one.name.area == other.name.area)
            .filter_map(|rows| rows.first().map(|first| (first.name.area.as_str(), rows)))
            .collect()
    }
}

/// What a row says beyond its two results: the reason of its listing, of its being skipped, or its first failure.
pub(super) fn remark(row: &Row) -> Option<String> {
    let tallies = || [Some(&row.tested), row.baseline.as_ref()].into_iter().flatten();
    let failure =
        || tallies().find_map(|tally| tally.failures().first().map(|(_, failure)| failure.message.as_str()));
    let skip = || tallies().find_map(|tally| tally.skip_reason());
    row.reason.as_deref().or_else(failure).or_else(skip).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Seconds with one digit, or nothing for what never ran.
pub(super) fn seconds(time: Option<Duration>) -> String {
    time.map(|time| format!("{:.1}", time.as_secs_f64())).unwrap_or_default()
}

/// The first line of a text, cut after `limit` characters.
pub(super) fn first_line(text: &str, limit: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::comparison::{Rule, Skipped};
    use super::super::exemptions::Exemptions;
    use super::super::ginkgo::{Outcome, SuiteRun};
    use super::super::tally::tests::{failed, run};
    use super::*;

    pub(in crate::critest) fn report(
        baseline: Option<&[SuiteRun]>,
        tested: &[SuiteRun],
        list: &str,
    ) -> Report {
        let (baseline, tested) = (baseline.map(Results::of), Results::of(tested));
        let exemptions = Exemptions::parse(list).unwrap();
        let rule = Rule {
            baseline: baseline.as_ref(),
            exemptions: Some(&exemptions),
            whole_suite: true,
            skipped: Skipped::Allowed,
        };
        let facts = vec![("critest".into(), "1.36.0".into()), ("containerd".into(), "v2.3.7".into())];
        Report {
            environment: Environment { facts },
            comparison: Comparison::new(&tested, rule),
            baseline: baseline.as_ref().map(|results| Side::new("runc", results)),
            tested: Side::new("ballast", &tested),
            settings: vec![("seed".into(), "1".into())],
        }
    }

    /// One spec of each kind of verdict that needs no missing baseline.
    pub(in crate::critest) fn everything() -> Report {
        let skip = || Outcome::Skipped("no <AppArmor>".into());
        let baseline = run(&[
            ("regresses", Outcome::Passed),
            ("fails", skip()),
            ("neither", failed("baseline's | reason")),
            ("listed", failed("no NAT")),
            ("skips", skip()),
            ("improves", failed("old & broken")),
            ("passes", Outcome::Passed),
        ]);
        let tested = run(&[
            ("regresses", failed("lost it\nsecond line")),
            ("fails", failed("broke")),
            ("neither", failed("own <reason>")),
            ("listed", failed("no NAT")),
            ("skips", skip()),
            ("improves", Outcome::Passed),
            ("passes", Outcome::Passed),
        ]);
        let list = "[[spec]]\nname = \"Area listed\"\nreason = \"the kernel has no NAT\"\n";
        report(Some(&[baseline]), &[tested], list)
    }

    #[test]
    fn the_conclusion_names_what_is_wrong_or_says_that_all_is_well() {
        assert_eq!(
            everything().conclusion(),
            "1 passed on the baseline and not on the tested handler; 1 failed; \
             1 passed on neither handler and not on the list of what cannot run"
        );
        let passing = [run(&[("it", Outcome::Passed)])];
        let well = report(Some(&passing), &passing, "");
        assert!(well.succeeded());
        assert_eq!(well.conclusion(), "Everything that passes on runc passes on ballast.");
        assert_eq!(report(None, &passing, "").conclusion(), "Everything that ran passes on ballast.");
    }

    #[test]
    fn the_counts_leave_out_what_does_not_occur() {
        let passing = [run(&[("it", Outcome::Passed)])];
        assert_eq!(report(None, &passing, "").counted(), "1 specs: 1 passed");
    }

    #[test]
    fn what_somebody_should_look_at_comes_worst_first() {
        let report = everything();
        let verdicts: Vec<_> = report.noteworthy().iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, &Verdict::ALL[..6]);
    }

    #[test]
    fn a_remark_is_the_listing_the_failure_or_the_reason_for_skipping() {
        let report = everything();
        let remark = |title: &str| {
            let row = report.comparison.rows().iter().find(|row| row.name.title == title).unwrap();
            super::remark(row)
        };
        assert_eq!(remark("listed").as_deref(), Some("the kernel has no NAT"));
        assert_eq!(remark("regresses").as_deref(), Some("lost it\nsecond line"));
        assert_eq!(remark("skips").as_deref(), Some("no <AppArmor>"));
        assert_eq!(remark("improves").as_deref(), Some("old & broken"));
        assert_eq!(remark("passes"), None);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(first_line("äöü\nmore", 2), "äö…");
        assert_eq!(first_line("äöü\nmore", 3), "äöü");
    }
}
