//! `cargo xtask critest`: Kubernetes' own conformance suite for container runtimes, run for a handler and for a baseline on
//! the same kind of node, and shown side by side.
//!
//! What passes on the baseline has to pass on the handler. What cannot pass on the project's node, on any handler, is
//! listed with its reason in one file, and the list is held to the truth by each run. Knows handlers by their names only.

mod benchmark;
mod comparison;
mod environment;
mod exemptions;
mod ginkgo;
mod interrupt;
mod live;
mod output;
mod place;
mod report;
mod stream;
mod suite;
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::node::{Node, NodeKind, NodeOptions};
use crate::progress::Progress;
use crate::setup::ballast::Source;
use crate::setup::layout::Layout;
use crate::tools::{self, Tool, ToolPaths};
use benchmark::Bench;
use comparison::{Comparison, Rule};
use environment::Environment;
use exemptions::Exemptions;
use ginkgo::SuiteRun;
use interrupt::{Interrupt, Running};
use live::Display;
use place::{Here, Place};
use report::{Report, Side};
use suite::Subject;
use tally::Results;

pub use benchmark::Measurement;
pub use comparison::Skipped;
pub use suite::Selection;

/// What no handler can pass on the project's own node, relative to this package.
const NOT_RUNNABLE: &str = "critest/not-runnable-offline.toml";

/// The container engine to test.
#[derive(Clone, Debug)]
pub enum Target {
    /// On nodes of our own, one for each handler.
    Nodes(NodeOptions),
    /// One that is there already: its CRI socket.
    Endpoint(String),
}

/// What is compared, and where the results go.
#[derive(Clone, Debug)]
pub struct Options {
    /// The handler to test.
    pub handler: String,
    /// The handler to compare with.
    pub baseline: Option<String>,
    /// What of the suite runs.
    pub selection: Selection,
    /// What a skipped spec means.
    pub skipped: Skipped,
    /// For critest's NRI specs; the place's own when there is none given.
    pub nri_socket: Option<String>,
    /// Instead of the project's list, which is for nodes of our own.
    pub not_runnable: Option<PathBuf>,
    /// A directory for the reports.
    pub out: PathBuf,
}

impl Options {
    /// The baseline, then the handler.
    fn handlers(&self) -> Vec<&str> {
        self.baseline.iter().chain([&self.handler]).map(String::as_str).collect()
    }
}

/// Runs the suite, writes the reports and prints the table; returns whether the handler passed.
///
/// # Errors
/// When the suite could not run, or a report could not be written.
pub fn run(layout: &Layout, progress: &Progress, target: &Target, options: &Options) -> Result<bool> {
    let exemptions = exemptions(target, options)?;
    let harness = Harness::prepare(layout, progress, target, options)?;
    let Options { handler, baseline, .. } = options;
    let out = &harness.out;
    let (environment, sides) = harness.run()?;
    let results: Vec<Results> = sides.iter().map(|runs| Results::of(runs)).collect();
    let [before @ .., tested] = results.as_slice() else { bail!("no handler ran") };
    let rule = Rule {
        baseline: before.first(),
        exemptions: exemptions.as_ref(),
        whole_suite: options.selection.is_whole_suite(),
        skipped: options.skipped,
    };
    let report = Report {
        environment,
        comparison: Comparison::new(tested, rule),
        baseline: baseline.as_deref().zip(before.first()).map(|(name, results)| Side::new(name, results)),
        tested: Side::new(handler, tested),
        settings: settings(&options.selection),
    };
    write(&report, out)?;
    println!("\n{}", output::terminal::render(&report, terminal_width()));
    eprintln!("  reports: {}", out.display());
    Ok(report.succeeded())
}

/// Runs critest's benchmarks instead of its specs, and prints the table.
///
/// # Errors
/// When a benchmark failed, or a measurement is missing.
pub fn benchmark(
    layout: &Layout,
    progress: &Progress,
    target: &Target,
    options: &Options,
    measurement: Measurement,
) -> Result<()> {
    let harness = Harness::prepare(layout, progress, target, options)?;
    let place = harness.place()?;
    let handlers = options.handlers();
    let (selection, out) = (&options.selection, harness.out.as_path());
    let outcome = harness.look(&place, &handlers).and_then(|environment| {
        let interrupt = Interrupt::watch()?;
        let bench = Bench { place: &place, handlers: &handlers, measurement, selection, out };
        benchmark::run(&bench, &environment, interrupt.running())
    });
    println!("\n{}", end(place, outcome)?);
    eprintln!("  reports: {}", out.display());
    Ok(())
}

fn exemptions(target: &Target, options: &Options) -> Result<Option<Exemptions>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(NOT_RUNNABLE);
    let path = match (&options.not_runnable, target) {
        (Some(path), _) => Some(path),
        (None, Target::Nodes(_)) => Some(&own),
        // What somebody else's node cannot do is not ours to list.
        (None, Target::Endpoint(_)) => None,
    };
    path.map(|path| Exemptions::read(path)).transpose()
}

/// What a reader needs to know to run the same again.
fn settings(selection: &Selection) -> Vec<(String, String)> {
    let mut settings = vec![("seed".to_owned(), selection.seed.to_string())];
    if selection.parallel > 1 {
        settings.push(("parallel".to_owned(), selection.parallel.to_string()));
    }
    if selection.attempts > 1 {
        settings.push(("attempts".to_owned(), selection.attempts.to_string()));
    }
    settings.extend(selection.focus.iter().map(|regex| ("focus".to_owned(), regex.clone())));
    settings.extend(selection.skip.iter().map(|regex| ("skip".to_owned(), regex.clone())));
    settings.extend(selection.arguments.iter().map(|argument| ("argument".to_owned(), argument.clone())));
    settings
}

fn write(report: &Report, out: &Path) -> Result<()> {
    let forms = [
        ("report.md", output::markdown::render(report)),
        ("report.html", output::html::render(report)),
        ("junit.xml", output::junit::render(report)?),
    ];
    for (name, text) in forms {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn terminal_width() -> Option<u16> {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout())
        .ok()
        .map(|size| size.ws_col)
        .filter(|width| *width > 0)
}

/// Everything that a run needs.
struct Harness<'a> {
    layout: &'a Layout,
    progress: &'a Progress,
    target: &'a Target,
    options: &'a Options,
    tools: ToolPaths,
    out: PathBuf,
}

impl<'a> Harness<'a> {
    /// Builds critest and what it needs, and makes the directory for the reports.
    fn prepare(
        layout: &'a Layout,
        progress: &'a Progress,
        target: &'a Target,
        options: &'a Options,
    ) -> Result<Self> {
        if options.baseline.as_ref() == Some(&options.handler) {
            bail!("{} would be compared with itself: choose another --baseline, or none", options.handler);
        }
        if matches!(target, Target::Nodes(node) if node.containerd.is_none()) {
            bail!("critest drives containerd: it cannot run on a bare node");
        }
        let out = &options.out;
        fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
        let out = out.canonicalize().with_context(|| format!("find {}", out.display()))?;
        let tools = tools::build(&[Tool::Critest, Tool::Crictl, Tool::Ginkgo], layout.node(), progress)?;
        Ok(Self { layout, progress, target, options, tools, out })
    }

    /// Returns each handler's runs, in the order of [`Options::handlers`].
    fn run(&self) -> Result<(Environment, Vec<Vec<SuiteRun>>)> {
        match self.target {
            Target::Nodes(node) if can_share_the_machine(node) => self.side_by_side(node),
            Target::Nodes(_) | Target::Endpoint(_) => {
                let place = self.place()?;
                let outcome = self.one_after_the_other(&place);
                end(place, outcome)
            }
        }
    }

    /// One place for all handlers.
    fn place(&self) -> Result<Place> {
        match self.target {
            Target::Endpoint(endpoint) => Ok(Place::Here(Here::new(endpoint, self.tools.bin_directory()))),
            Target::Nodes(node) => Node::boot(self.layout, self.progress, node).map(Place::Node),
        }
    }

    fn one_after_the_other(&self, place: &Place) -> Result<(Environment, Vec<Vec<SuiteRun>>)> {
        let handlers = self.options.handlers();
        let environment = self.look(place, &handlers)?;
        let interrupt = Interrupt::watch()?;
        let display = Display::new(&handlers);
        let runs = handlers.iter().map(|handler| self.suite(place, handler, &display, interrupt.running()));
        Ok((environment, runs.collect::<Result<_>>()?))
    }

    /// Each handler on a node of its own, booted from the same image, at the same time.
    fn side_by_side(&self, node: &NodeOptions) -> Result<(Environment, Vec<Vec<SuiteRun>>)> {
        let handlers = self.options.handlers();
        let mut places = Vec::new();
        for index in 0..handlers.len() {
            // The first one built it.
            let ballast = if index == 0 { node.ballast } else { Source::Installed };
            let node = NodeOptions { ballast, ..node.clone() };
            places.push(Place::Node(Node::boot(self.layout, self.progress, &node)?));
        }
        let first = places.first().context("no handler to test")?;
        let environment = self.look(first, &handlers)?;
        let interrupt = Interrupt::watch()?;
        let display = Display::new(&handlers);
        let outcomes: Vec<Result<Vec<SuiteRun>>> = thread::scope(|scope| {
            let (display, running) = (&display, interrupt.running());
            let threads: Vec<_> = places
                .iter()
                .zip(&handlers)
                .map(|(place, handler)| {
                    scope.spawn(move || {
                        let outcome = self.suite(place, handler, display, running);
                        if outcome.is_err() {
                            // The other one's results would be compared with nothing.
                            running.stop();
                        }
                        outcome
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a suite's thread panicked")))
                .collect()
        });
        let mut runs = Vec::new();
        let mut interrupted = None;
        for outcome in outcomes {
            match outcome {
                Ok(run) => runs.push(run),
                // What stopped the others is the cause, their being stopped is not.
                Err(error) if error.root_cause().to_string() == "interrupted" => interrupted = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = interrupted {
            return Err(error);
        }
        places.into_iter().try_for_each(|place| end(place, Ok(())))?;
        Ok((environment, runs))
    }

    fn look(&self, place: &Place, handlers: &[&str]) -> Result<Environment> {
        environment::check_handlers(place, handlers)?;
        Environment::of(place, handlers)
    }

    fn suite(
        &self,
        place: &Place,
        handler: &str,
        display: &Display,
        running: &Running,
    ) -> Result<Vec<SuiteRun>> {
        let nri_socket = environment::nri_socket(place, self.options.nri_socket.as_deref())?;
        let subject = Subject { place, handler, nri_socket: nri_socket.as_deref() };
        suite::run(subject, &self.options.selection, &self.out, display, running)
    }
}

/// User-mode Linux has one CPU. On the machine's own kernel the suites would meet in what no namespace divides, AppArmor's
/// profiles for example.
fn can_share_the_machine(node: &NodeOptions) -> bool {
    matches!(node.kind, NodeKind::Uml(..))
        && thread::available_parallelism().is_ok_and(|count| count.get() > 1)
}

/// Powers a node off when the suite ran; otherwise it is dropped, which kills it.
fn end<T>(place: Place, outcome: Result<T>) -> Result<T> {
    let value = outcome?;
    if let Place::Node(node) = place {
        node.shutdown()?;
    }
    Ok(value)
}
