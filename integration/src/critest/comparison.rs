//! Two handlers' results side by side, and what they mean: the verdict on each spec and on the whole. Knows neither how
//! the results came about nor how they are shown.

use std::collections::BTreeSet;

use super::exemptions::{Exemptions, Stale};
use super::ginkgo::SpecName;
use super::tally::{Results, Standing, Tally};

/// What one spec's results mean for the tested handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Passes on the baseline, in every run, and not on the tested handler.
    Regression,
    /// Fails, and there is no baseline result that says anything about it: none is compared with, or it was skipped.
    Failed,
    /// Passes on neither.
    PassesOnNeither,
    /// Passes on neither, and is listed with the reason.
    NotRunnable,
    /// Skips itself on both, or on the only one.
    Skipped,
    /// Passes, and not on the baseline.
    Better,
    /// Passes, wherever it ran.
    Passed,
}

impl Verdict {
    pub(super) const ALL: [Self; 7] = [
        Self::Regression,
        Self::Failed,
        Self::PassesOnNeither,
        Self::NotRunnable,
        Self::Skipped,
        Self::Better,
        Self::Passed,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Failed => "failed",
            Self::PassesOnNeither => "passes on neither",
            Self::NotRunnable => "not runnable here",
            Self::Skipped => "skipped",
            Self::Better => "better",
            Self::Passed => "passed",
        }
    }

    fn of(baseline: Option<Standing>, tested: Standing, listed: bool) -> Self {
        use Standing::{Failed, Flaky, Missing, Passed, Skipped};
        match (baseline, tested) {
            (None | Some(Passed), Passed) => Self::Passed,
            (Some(Failed | Flaky | Skipped | Missing), Passed) => Self::Better,
            (Some(Passed), Failed | Flaky | Skipped | Missing) => Self::Regression,
            (Some(Failed | Flaky), Failed | Flaky | Skipped | Missing) if listed => Self::NotRunnable,
            (Some(Failed | Flaky), Failed | Flaky | Skipped | Missing) => Self::PassesOnNeither,
            (None | Some(Skipped | Missing), Failed | Flaky) => Self::Failed,
            (None | Some(Skipped | Missing), Skipped | Missing) => Self::Skipped,
        }
    }
}

/// One spec on both sides.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: SpecName,
    pub(super) baseline: Option<Tally>,
    pub(super) tested: Tally,
    pub(super) verdict: Verdict,
    /// Why it is listed as not runnable.
    pub(super) reason: Option<String>,
}

impl Row {
    /// Passes in some runs or attempts and not in others, on either side.
    pub(super) fn is_flaky(&self) -> bool {
        let mut sides = self.baseline.iter().chain([&self.tested]);
        sides.any(|tally| tally.standing() == Standing::Flaky || tally.was_retried())
    }
}

/// Everything that a run of the harness found.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    rows: Vec<Row>,
    stale: Vec<Stale>,
    list_in_force: bool,
    skipped: Skipped,
}

/// What a spec that skips itself means for the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skipped {
    /// Nothing: the node or its containerd lacks what the spec needs.
    #[default]
    Allowed,
    /// It fails: the node is known to have everything.
    Denied,
}

/// What the results are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'a> {
    pub(super) baseline: Option<&'a Results>,
    /// The list of what no handler can pass on this node, where there is one.
    pub(super) exemptions: Option<&'a Exemptions>,
    /// Whether no spec was left out.
    pub(super) whole_suite: bool,
    pub(super) skipped: Skipped,
}

impl Comparison {
    pub(super) fn new(tested: &Results, rule: Rule<'_>) -> Self {
        let Rule { baseline, exemptions, whole_suite, skipped } = rule;
        let names: BTreeSet<&SpecName> =
            tested.names().chain(baseline.iter().flat_map(|results| results.names())).collect();
        let row = |name: &SpecName| {
            let baseline = baseline.map(|results| results.tally(name));
            let tested = tested.tally(name);
            let reason = exemptions.and_then(|list| list.reason(&name.to_string())).map(str::to_owned);
            let standing = baseline.as_ref().map(Tally::standing);
            let verdict = Verdict::of(standing, tested.standing(), reason.is_some());
            Row { name: name.clone(), baseline, tested, verdict, reason }
        };
        let stale = match (baseline, exemptions) {
            (Some(baseline), Some(list)) => list.stale(baseline, whole_suite),
            // Without a baseline nothing is excused, and nothing contradicts the list.
            (None, _) | (_, None) => Vec::new(),
        };
        Self {
            rows: names.into_iter().map(row).collect(),
            stale,
            list_in_force: exemptions.is_some(),
            skipped,
        }
    }

    /// Sorted by area and title.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Entries of the list that must go.
    pub(super) fn stale(&self) -> &[Stale] {
        &self.stale
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Whether this verdict makes the whole run fail. A spec that passes on neither does where a list is in force, because
    /// the list is to name each such spec; on a node of somebody else's it is no fault of the tested handler.
    pub(super) fn fails(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Regression | Verdict::Failed => true,
            Verdict::PassesOnNeither => self.list_in_force,
            Verdict::Skipped => self.skipped == Skipped::Denied,
            Verdict::NotRunnable | Verdict::Better | Verdict::Passed => false,
        }
    }

    /// Everything that makes the whole run fail, in a few words; empty when it succeeded.
    pub(super) fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        for verdict in Verdict::ALL.into_iter().filter(|verdict| self.fails(*verdict)) {
            let count = self.count(verdict);
            if count > 0 {
                objections.push(format!("{count} {}", explained(verdict)));
            }
        }
        for stale in &self.stale {
            objections.push(format!("the list's entry \"{}\" has to go: {}", stale.name, stale.why));
        }
        if self.rows.is_empty() {
            objections.push("no spec ran".to_owned());
        } else if self.rows.iter().all(|row| row.tested.standing() == Standing::Skipped) {
            objections.push("every spec was skipped".to_owned());
        }
        objections
    }
}

fn explained(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regression => "passed on the baseline and not on the tested handler",
        Verdict::Failed => "failed",
        Verdict::PassesOnNeither => "passed on neither handler and not on the list of what cannot run",
        Verdict::NotRunnable | Verdict::Skipped | Verdict::Better | Verdict::Passed => verdict.word(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::exemptions::StaleReason;
    use super::super::ginkgo::Outcome;
    use super::super::tally::tests::{failed, name, run};
    use super::*;

    pub(in crate::critest) fn skipped() -> Outcome {
        Outcome::Skipped("no AppArmor".into())
    }

    fn compare(baseline: Option<Outcome>, tested: Option<Outcome>, list: Option<&Exemptions>) -> Comparison {
        let results = |outcome: Option<Outcome>| {
            let mut specs = vec![("other", Outcome::Passed)];
            specs.extend(outcome.map(|outcome| ("it", outcome)));
            Results::of(&[run(&specs)])
        };
        let rule = Rule {
            baseline: Some(&results(baseline)),
            exemptions: list,
            whole_suite: true,
            skipped: Skipped::Allowed,
        };
        Comparison::new(&results(tested), rule)
    }

    fn verdict(comparison: &Comparison) -> Verdict {
        comparison.rows().iter().find(|row| row.name == name("it")).unwrap().verdict
    }

    fn listed() -> Exemptions {
        Exemptions::parse("[[spec]]\nname = \"Area it\"\nreason = \"no NAT\"\n").unwrap()
    }

    #[test]
    fn what_passes_on_the_baseline_must_pass() {
        for tested in [Some(failed("x")), Some(skipped()), None] {
            let comparison = compare(Some(Outcome::Passed), tested, None);
            assert_eq!(verdict(&comparison), Verdict::Regression);
            assert_eq!(comparison.objections(), ["1 passed on the baseline and not on the tested handler"]);
        }
    }

    #[test]
    fn what_passes_on_both_is_no_objection() {
        let comparison = compare(Some(Outcome::Passed), Some(Outcome::Passed), None);
        assert_eq!(verdict(&comparison), Verdict::Passed);
        assert!(comparison.objections().is_empty());
    }

    #[test]
    fn what_passes_only_on_the_tested_handler_is_better() {
        for baseline in [Some(failed("x")), Some(skipped()), None] {
            let comparison = compare(baseline, Some(Outcome::Passed), None);
            assert_eq!(verdict(&comparison), Verdict::Better);
            assert!(comparison.objections().is_empty());
        }
    }

    #[test]
    fn what_passes_on_neither_is_an_objection_only_where_a_list_is_in_force() {
        let both = || (Some(failed("x")), Some(failed("y")));
        let (baseline, tested) = both();
        let without_list = compare(baseline, tested, None);
        assert_eq!(verdict(&without_list), Verdict::PassesOnNeither);
        assert!(without_list.objections().is_empty());
        let (baseline, tested) = both();
        let unlisted = compare(baseline, tested, Some(&Exemptions::default()));
        assert_eq!(
            unlisted.objections(),
            ["1 passed on neither handler and not on the list of what cannot run"]
        );
        let (baseline, tested) = both();
        let listed = compare(baseline, tested, Some(&listed()));
        assert_eq!(verdict(&listed), Verdict::NotRunnable);
        assert!(listed.objections().is_empty());
    }

    #[test]
    fn being_listed_excuses_nothing_that_the_baseline_passes() {
        let comparison = compare(Some(Outcome::Passed), Some(failed("x")), Some(&listed()));
        assert_eq!(verdict(&comparison), Verdict::Regression);
        assert_eq!(comparison.stale()[0].why, StaleReason::PassesOnBaseline);
        assert_eq!(comparison.objections().len(), 2);
    }

    #[test]
    fn a_failure_where_the_baseline_skipped_is_an_objection() {
        let comparison = compare(Some(skipped()), Some(failed("x")), None);
        assert_eq!(verdict(&comparison), Verdict::Failed);
        assert_eq!(comparison.objections(), ["1 failed"]);
        assert_eq!(verdict(&compare(Some(skipped()), Some(skipped()), None)), Verdict::Skipped);
    }

    #[test]
    fn without_a_baseline_every_failure_counts_listed_or_not() {
        let tested = Results::of(&[run(&[("it", failed("x")), ("other", Outcome::Passed)])]);
        let rule = Rule {
            baseline: None,
            exemptions: Some(&listed()),
            whole_suite: true,
            skipped: Skipped::Allowed,
        };
        let comparison = Comparison::new(&tested, rule);
        assert_eq!(verdict(&comparison), Verdict::Failed);
        assert_eq!(comparison.objections(), ["1 failed"]);
    }

    #[test]
    fn a_flake_where_the_baseline_never_failed_is_a_regression() {
        let baseline = Results::of(&[run(&[("it", Outcome::Passed)]), run(&[("it", Outcome::Passed)])]);
        let tested = Results::of(&[run(&[("it", Outcome::Passed)]), run(&[("it", failed("x"))])]);
        let rule = Rule {
            baseline: Some(&baseline),
            exemptions: None,
            whole_suite: true,
            skipped: Skipped::Allowed,
        };
        let comparison = Comparison::new(&tested, rule);
        assert_eq!(verdict(&comparison), Verdict::Regression);
        assert!(comparison.rows()[0].is_flaky());
    }

    #[test]
    fn a_skipped_spec_is_an_objection_where_that_is_denied() {
        let results = Results::of(&[run(&[("it", skipped()), ("other", Outcome::Passed)])]);
        let rule =
            Rule { baseline: Some(&results), exemptions: None, whole_suite: true, skipped: Skipped::Denied };
        assert_eq!(Comparison::new(&results, rule).objections(), ["1 skipped"]);
    }

    #[test]
    fn a_run_in_which_nothing_ran_is_no_success() {
        let nothing = Results::of(&[run(&[])]);
        let rule = Rule { baseline: None, exemptions: None, whole_suite: false, skipped: Skipped::Allowed };
        assert_eq!(Comparison::new(&nothing, rule).objections(), ["no spec ran"]);
        let all_skipped = Results::of(&[run(&[("it", skipped())])]);
        assert_eq!(Comparison::new(&all_skipped, rule).objections(), ["every spec was skipped"]);
    }
}
