//! One handler's results, counted over all runs. Knows one handler alone, no comparison.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::ginkgo::{Failure, Outcome, Spec, SpecName, SuiteRun};

/// How often one spec ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How often the suite ran, whether or not this spec was in it.
    runs: u32,
    /// In how many runs it was.
    reported: u32,
    passed: u32,
    /// How many of those took more than one attempt.
    retried: u32,
    skipped: u32,
    /// Of all runs together.
    time: Duration,
    skip_reason: Option<String>,
    failures: Vec<(u32, Failure)>,
}

/// What a tally comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In every run.
    Passed,
    /// In no run, and it did not skip itself each time.
    Failed,
    /// In some runs only.
    Flaky,
    /// Skipped itself in every run.
    Skipped,
    /// No run reported it.
    Missing,
}

impl Standing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Flaky => "flaky",
            Self::Skipped => "skipped",
            Self::Missing => "missing",
        }
    }
}

impl Tally {
    pub(super) fn standing(&self) -> Standing {
        if self.passed == self.runs && self.runs > 0 {
            Standing::Passed
        } else if self.passed > 0 {
            Standing::Flaky
        } else if !self.failures.is_empty() {
            Standing::Failed
        } else if self.skipped > 0 {
            Standing::Skipped
        } else {
            Standing::Missing
        }
    }

    /// Why it skipped itself, when it did.
    pub(super) fn skip_reason(&self) -> Option<&str> {
        self.skip_reason.as_deref()
    }

    /// Whether a run passed only after an attempt that failed.
    pub(super) fn was_retried(&self) -> bool {
        self.retried > 0
    }

    /// Its failures with the run's number, counted from one; also those of attempts that were repeated.
    pub(super) fn failures(&self) -> &[(u32, Failure)] {
        &self.failures
    }

    /// How long it took on average, `None` when it never ran.
    pub(super) fn time(&self) -> Option<Duration> {
        (self.reported > 0).then(|| self.time / self.reported)
    }

    fn add(&mut self, run: u32, spec: &Spec) {
        self.time += spec.time;
        self.reported += 1;
        match &spec.outcome {
            Outcome::Passed => {
                self.passed += 1;
                self.retried += u32::from(!spec.earlier.is_empty());
                self.failures.extend(spec.earlier.iter().map(|failure| (run, failure.clone())));
            }
            Outcome::Skipped(reason) => {
                self.skipped += 1;
                self.skip_reason = Some(reason.clone());
            }
            Outcome::Failed(failure) => self.failures.push((run, failure.clone())),
        }
    }
}

/// One run: a word. Several: how many passed, out of how many.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.runs, self.standing()) {
            (0 | 1, standing) => formatter.write_str(standing.word())?,
            (runs, standing @ (Standing::Skipped | Standing::Missing)) => {
                write!(formatter, "{} ({runs} runs)", standing.word())?;
            }
            (runs, _) => write!(formatter, "{}/{runs}", self.passed)?,
        }
        if self.was_retried() { formatter.write_str(", retried") } else { Ok(()) }
    }
}

/// Everything that one handler's runs reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    runs: u32,
    specs: BTreeMap<SpecName, Tally>,
    time: Duration,
}

impl Results {
    pub(super) fn of(runs: &[SuiteRun]) -> Self {
        let mut results = Self { runs: u32::try_from(runs.len()).unwrap_or(u32::MAX), ..Self::default() };
        for (number, run) in (1..).zip(runs) {
            results.time += run.time;
            for spec in &run.specs {
                results.specs.entry(spec.name.clone()).or_default().add(number, spec);
            }
        }
        for tally in results.specs.values_mut() {
            tally.runs = results.runs;
        }
        results
    }

    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Of all runs together, from the suite's start to its end.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &SpecName> {
        self.specs.keys()
    }

    /// The spec's tally; all missing when no run reported it.
    pub(super) fn tally(&self, name: &SpecName) -> Tally {
        self.specs.get(name).cloned().unwrap_or_else(|| Tally { runs: self.runs, ..Tally::default() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::critest) fn name(title: &str) -> SpecName {
        SpecName { area: "Area".into(), title: title.into() }
    }

    pub(in crate::critest) fn failed(message: &str) -> Outcome {
        Outcome::Failed(Failure { message: message.into(), location: "a.go:1".into(), output: "log".into() })
    }

    /// One run of the suite with these specs, a second each.
    pub(in crate::critest) fn run(specs: &[(&str, Outcome)]) -> SuiteRun {
        let time = Duration::from_secs(1);
        let specs: Vec<_> = specs
            .iter()
            .map(|(title, outcome)| Spec {
                name: name(title),
                outcome: outcome.clone(),
                earlier: Vec::new(),
                time,
            })
            .collect();
        SuiteRun { specs, time: Duration::from_secs(10) }
    }

    fn standing(outcomes: &[Option<Outcome>]) -> (Standing, String) {
        let runs: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Some(outcome) => run(&[("it", outcome.clone())]),
                None => run(&[]),
            })
            .collect();
        let tally = Results::of(&runs).tally(&name("it"));
        (tally.standing(), tally.to_string())
    }

    #[test]
    fn one_run_is_told_in_a_word() {
        let skipped = Outcome::Skipped("no".into());
        assert_eq!(standing(&[Some(Outcome::Passed)]), (Standing::Passed, "passed".into()));
        assert_eq!(standing(&[Some(failed("x"))]), (Standing::Failed, "failed".into()));
        assert_eq!(standing(&[Some(skipped)]), (Standing::Skipped, "skipped".into()));
        assert_eq!(standing(&[None]), (Standing::Missing, "missing".into()));
    }

    #[test]
    fn several_runs_are_counted() {
        let passed = || Some(Outcome::Passed);
        assert_eq!(standing(&[passed(), passed()]), (Standing::Passed, "2/2".into()));
        assert_eq!(standing(&[passed(), Some(failed("x"))]), (Standing::Flaky, "1/2".into()));
        assert_eq!(standing(&[Some(failed("x")), Some(failed("y"))]), (Standing::Failed, "0/2".into()));
    }

    #[test]
    fn a_spec_that_passed_after_another_attempt_has_passed_and_says_so() {
        let mut retried = run(&[("it", Outcome::Passed)]);
        let Outcome::Failed(failure) = failed("busy") else { unreachable!() };
        retried.specs[0].earlier.push(failure);
        let tally = Results::of(&[retried]).tally(&name("it"));
        assert_eq!((tally.standing(), tally.to_string()), (Standing::Passed, "passed, retried".into()));
        assert_eq!((tally.failures().len(), tally.time()), (1, Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_spec_that_one_run_did_not_report_is_flaky() {
        assert_eq!(standing(&[Some(Outcome::Passed), None]), (Standing::Flaky, "1/2".into()));
    }

    #[test]
    fn a_spec_that_only_ever_failed_or_skipped_has_failed() {
        assert_eq!(standing(&[Some(Outcome::Skipped("no".into())), Some(failed("x"))]).0, Standing::Failed);
    }

    #[test]
    fn failures_keep_the_number_of_their_run_and_times_are_averages() {
        let results = Results::of(&[run(&[("it", Outcome::Passed)]), run(&[("it", failed("x"))])]);
        let tally = results.tally(&name("it"));
        assert_eq!(tally.failures()[0].0, 2);
        assert_eq!(tally.time(), Some(Duration::from_secs(1)));
        assert_eq!(results.time(), Duration::from_secs(20));
    }
}
