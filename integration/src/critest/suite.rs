//! Runs the suite for one handler: critest's command line, its report. Knows nothing of other handlers.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::ginkgo::SuiteRun;
use super::interrupt::Running;
use super::live::Display;
use super::place::Place;
use crate::node::protocol::Ending;

/// The report's name in the run's scratch directory.
const REPORT: &str = "report.json";

/// What of the suite runs, and how.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only specs that match this regular expression.
    pub focus: Option<String>,
    /// No specs that match one of these.
    pub skip: Vec<String>,
    /// Processes that run specs at the same time.
    pub parallel: u32,
    /// How often the suite runs, one run after the other on the same node.
    pub repeat: u32,
    /// How often a spec is tried before it counts as failed.
    pub attempts: u32,
    /// Decides the specs' order in the first run; each further run takes the next number.
    pub seed: u32,
    /// Handed to critest as they are.
    pub arguments: Vec<String>,
}

impl Selection {
    pub(super) fn is_whole_suite(&self) -> bool {
        self.focus.is_none() && self.skip.is_empty() && self.arguments.is_empty()
    }
}

/// One handler at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) place: &'a Place,
    pub(super) handler: &'a str,
    /// Given to critest when it has NRI specs.
    pub(super) nri_socket: Option<&'a str>,
}

/// Runs the suite as often as selected. What critest printed and reported is kept in `out`.
///
/// # Errors
/// When critest could not run to its end, so that its specs say nothing.
pub(super) fn run(
    subject: Subject<'_>,
    selection: &Selection,
    out: &Path,
    display: &Display,
    running: &Running,
) -> Result<Vec<SuiteRun>> {
    (1..=selection.repeat)
        .map(|number| {
            let label = match selection.repeat {
                1 => subject.handler.to_owned(),
                _ => format!("{}-{number}", subject.handler),
            };
            run_once(subject, selection, number, &label, out, display, running)
                .with_context(|| format!("critest on {label}, its output: {}", log(out, &label).display()))
        })
        .collect()
}

fn run_once(
    subject: Subject<'_>,
    selection: &Selection,
    number: u32,
    label: &str,
    out: &Path,
    display: &Display,
    running: &Running,
) -> Result<SuiteRun> {
    let scratch = subject.place.scratch(label)?;
    let argv = command_line(subject, selection, number);
    let path = log(out, label);
    let mut log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut written = writeln!(log, "$ {}", argv.join(" "));
    let mut line = display.line(label);
    let ending = subject.place.follow(&argv, scratch.path(), running, &mut |text| {
        line.feed(text);
        if written.is_ok() {
            written = writeln!(log, "{text}");
        }
    })?;
    written.with_context(|| format!("write {}", path.display()))?;
    let report = out.join(format!("{label}.json"));
    scratch.fetch(REPORT, &report).with_context(|| match ending {
        Ending::Code(code) => format!("critest ended with code {code} and without a report"),
        other => format!("critest ended with {other:?} and without a report"),
    })?;
    let text = fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
    SuiteRun::parse(&text).with_context(|| format!("its report: {}", report.display()))
}

fn log(out: &Path, label: &str) -> std::path::PathBuf {
    out.join(format!("{label}.log"))
}

fn command_line(subject: Subject<'_>, selection: &Selection, number: u32) -> Vec<String> {
    let mut argv = vec![
        "critest".to_owned(),
        format!("--runtime-endpoint={}", subject.place.endpoint()),
        format!("--image-endpoint={}", subject.place.endpoint()),
        format!("--runtime-handler={}", subject.handler),
        "--ginkgo.v".to_owned(),
        "--ginkgo.no-color".to_owned(),
        format!("--ginkgo.seed={}", selection.seed + number - 1),
        // Below the working directory. In parallel an absolute path would end up below a directory that critest makes.
        format!("--ginkgo.json-report={REPORT}"),
    ];
    if selection.parallel > 1 {
        // Ginkgo refuses to run where it finds this, whatever the number.
        argv.push(format!("--parallel={}", selection.parallel));
    }
    if selection.attempts > 1 {
        argv.push(format!("--ginkgo.flake-attempts={}", selection.attempts));
    }
    argv.extend(selection.focus.iter().map(|regex| format!("--ginkgo.focus={regex}")));
    argv.extend(selection.skip.iter().map(|regex| format!("--ginkgo.skip={regex}")));
    argv.extend(subject.nri_socket.map(|path| format!("--nri-socket={path}")));
    argv.extend(selection.arguments.iter().cloned());
    argv
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::place::Here;
    use super::*;

    fn argv(selection: &Selection, number: u32) -> Vec<String> {
        let place = Place::Here(Here::new("/run/c.sock", PathBuf::new()));
        let subject = Subject { place: &place, handler: "mine", nri_socket: None };
        command_line(subject, selection, number)
    }

    fn selection() -> Selection {
        Selection { parallel: 1, repeat: 1, seed: 7, ..Selection::default() }
    }

    #[test]
    fn critest_is_told_handler_and_endpoint_and_where_to_report() {
        let argv = argv(&selection(), 1);
        for expected in [
            "--runtime-handler=mine",
            "--runtime-endpoint=unix:///run/c.sock",
            "--image-endpoint=unix:///run/c.sock",
            "--ginkgo.json-report=report.json",
            "--ginkgo.seed=7",
        ] {
            assert!(argv.iter().any(|argument| argument == expected), "{expected} in {argv:?}");
        }
    }

    #[test]
    fn parallel_is_an_option_only_when_it_is_more_than_one() {
        let parallel = |count: u32| argv(&Selection { parallel: count, ..selection() }, 1);
        assert!(parallel(4).contains(&"--parallel=4".to_owned()));
        assert!(!parallel(1).iter().any(|argument| argument.starts_with("--parallel")));
    }

    #[test]
    fn a_spec_is_tried_again_only_where_that_was_asked_for() {
        let attempts = |attempts: u32| argv(&Selection { attempts, ..selection() }, 1);
        assert!(attempts(2).contains(&"--ginkgo.flake-attempts=2".to_owned()));
        assert!(!attempts(1).iter().any(|argument| argument.contains("attempts")));
    }

    #[test]
    fn each_run_has_an_order_of_its_own() {
        assert!(argv(&selection(), 3).contains(&"--ginkgo.seed=9".to_owned()));
    }

    #[test]
    fn every_expression_is_handed_on_and_makes_it_a_part_of_the_suite() {
        assert!(selection().is_whole_suite());
        let skip = vec!["a b".to_owned(), "c".to_owned()];
        let selection = Selection { focus: Some("f".into()), skip, ..selection() };
        let argv = argv(&selection, 1);
        for expected in ["--ginkgo.focus=f", "--ginkgo.skip=a b", "--ginkgo.skip=c"] {
            assert!(argv.iter().any(|argument| argument == expected), "{expected} in {argv:?}");
        }
        assert!(!selection.is_whole_suite());
    }
}
