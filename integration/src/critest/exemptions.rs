//! The specs that no handler can pass on the project's own node, each with its reason. Reads the list and tells which
//! entries are no longer true; knows not what follows from it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::tally::{Results, Standing};

/// The list, by spec name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exemptions(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    spec: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    reason: String,
}

/// An entry that must go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stale {
    pub(super) name: String,
    pub(super) why: StaleReason,
}

/// Why an entry must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaleReason {
    PassesOnBaseline,
    SkippedOnBaseline,
    MatchesNoSpec,
}

impl fmt::Display for StaleReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PassesOnBaseline => "it passes on the baseline",
            Self::SkippedOnBaseline => "it is skipped on the baseline, not failed",
            Self::MatchesNoSpec => "the suite has no such spec",
        })
    }
}

impl Exemptions {
    /// # Errors
    /// When the file cannot be read, names a spec twice, or gives no reason.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("the list {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).context("parse it")?;
        let mut list = BTreeMap::new();
        for Entry { name, reason } in file.spec {
            if reason.trim().is_empty() {
                bail!("no reason is given for \"{name}\"");
            }
            if list.insert(name.clone(), reason.trim().to_owned()).is_some() {
                bail!("\"{name}\" is listed twice");
            }
        }
        Ok(Self(list))
    }

    pub(super) fn reason(&self, spec: &str) -> Option<&str> {
        self.0.get(spec).map(String::as_str)
    }

    /// Whatever of the list the baseline's results contradict. Only when the whole suite ran can an entry be found to
    /// match no spec.
    pub(super) fn stale(&self, baseline: &Results, whole_suite: bool) -> Vec<Stale> {
        let names: BTreeMap<String, _> = baseline.names().map(|name| (name.to_string(), name)).collect();
        let stale = self.0.keys().filter_map(|name| {
            let why = match names.get(name).map(|name| baseline.tally(name).standing()) {
                Some(Standing::Passed) => StaleReason::PassesOnBaseline,
                Some(Standing::Skipped) => StaleReason::SkippedOnBaseline,
                None if whole_suite => StaleReason::MatchesNoSpec,
                Some(Standing::Failed | Standing::Flaky | Standing::Missing) | None => return None,
            };
            Some(Stale { name: name.clone(), why })
        });
        stale.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ginkgo::Outcome;
    use super::super::tally::tests::{failed, run};
    use super::*;

    fn list() -> Exemptions {
        Exemptions::parse("[[spec]]\nname = \"Area it\"\nreason = \"needs the internet\"\n").unwrap()
    }

    #[test]
    fn an_entry_names_a_spec_and_a_reason() {
        assert_eq!(list().reason("Area it"), Some("needs the internet"));
        assert_eq!(list().reason("Area other"), None);
    }

    #[test]
    fn an_entry_without_reason_a_double_entry_and_an_unknown_key_are_refused() {
        let refused = |text: &str| format!("{:#}", Exemptions::parse(text).unwrap_err());
        assert!(refused("[[spec]]\nname = \"a\"\nreason = \" \"").contains("no reason is given for \"a\""));
        let twice = "[[spec]]\nname = \"a\"\nreason = \"b\"\n".repeat(2);
        assert!(refused(&twice).contains("\"a\" is listed twice"));
        assert!(refused("[[spec]]\nname = \"a\"\nreason = \"b\"\nwhen = \"c\"").contains("when"));
    }

    #[test]
    fn an_entry_is_true_while_the_spec_fails_on_the_baseline() {
        assert_eq!(list().stale(&Results::of(&[run(&[("it", failed("x"))])]), true), []);
    }

    #[test]
    fn an_entry_must_go_when_the_baseline_passes_or_skips_it() {
        let stale = |outcome: Outcome| list().stale(&Results::of(&[run(&[("it", outcome)])]), true)[0].why;
        assert_eq!(stale(Outcome::Passed), StaleReason::PassesOnBaseline);
        assert_eq!(stale(Outcome::Skipped("no".into())), StaleReason::SkippedOnBaseline);
    }

    #[test]
    fn an_entry_that_matches_no_spec_must_go_when_the_whole_suite_ran() {
        let baseline = Results::of(&[run(&[("other", Outcome::Passed)])]);
        assert_eq!(list().stale(&baseline, true)[0].why, StaleReason::MatchesNoSpec);
        assert_eq!(list().stale(&baseline, false), []);
    }

    #[test]
    fn the_checked_in_list_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("critest/not-runnable-offline.toml");
        Exemptions::read(&path).unwrap();
    }
}
