//! `cargo xtask test`: what needs no containerd on this machine, then the rest on a node. Knows which test runs where,
//! nothing of what they test.

mod deadline;

use std::io;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::node::protocol::Ending;
use crate::node::{Init, Node, NodeOptions};
use crate::progress::{self, Progress};
use crate::setup;
use crate::setup::cargo::{self, Executable, Kind};
use crate::setup::layout::Layout;
use deadline::{Deadline, Slow};

/// How much of containerd's log is shown when a test failed.
const LOG_TAIL_BYTES: u64 = 6_000;

/// What a test program gets on the node: many times what any of them takes.
const SUITE_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// The runtime handler that the tests on the node drive, when it is not Ballast's.
const HANDLER_VARIABLE: &str = "BALLAST_TEST_HANDLER";

/// The package whose `tests/` take a node with containerd for granted.
const NODE_PACKAGE: &str = "integration";

/// A file of `tests/` that says more, or is run otherwise, on a node than the table's defaults.
struct OnNode {
    /// The file's name, without `.rs`.
    suite: &'static str,
    init: Init,
    /// For the test program.
    arguments: &'static [&'static str],
}

/// Which suite runs on which node, beside those of [`NODE_PACKAGE`]: without an entry, with the agent as PID 1.
const ON_NODES: [OnNode; 5] = [
    // What this machine's cgroups have no controllers for is ignored here.
    OnNode { suite: "node_limits", init: Init::Agent, arguments: &["--include-ignored"] },
    OnNode { suite: "node_priority", init: Init::Agent, arguments: &["--include-ignored"] },
    // Another kernel, real controllers: cheap, and the root of everything else.
    OnNode { suite: "containers", init: Init::Agent, arguments: &[] },
    // All of it is ignored where systemd is not PID 1.
    OnNode { suite: "node_systemd", init: Init::Systemd, arguments: &["--include-ignored"] },
    OnNode { suite: "systemd", init: Init::Systemd, arguments: &[] },
];

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these files of `tests/` (names without `.rs`), on the node; everything, everywhere, when empty.
    pub suites: Vec<String>,
    /// Handed to every test program on the node: name filters and libtest's options.
    pub arguments: Vec<String>,
}

/// Runs the selected tests, all of them whatever fails.
///
/// # Errors
/// When one failed; what failed was shown. When nothing was selected.
pub fn run(layout: &Layout, progress: &Progress, options: &NodeOptions, selection: &Selection) -> Result<()> {
    // Before the build, which takes a static C library and the protobuf compiler.
    setup::install_packages(layout, progress)?;
    let built = build(layout, progress, selection)?;
    let mut failed = Vec::new();
    if selection.suites.is_empty() {
        failed.extend(run_here(layout, &built)?);
    }
    let on_nodes: Vec<_> = built.iter().filter(|suite| belongs_on_node(layout, suite, selection)).collect();
    if on_nodes.is_empty() {
        bail!("there are no tests for the node");
    }
    let on_systemd = NodeOptions { kind: options.kind.with_systemd(), ..options.clone() };
    // Where the caller asks for systemd, all that was selected runs there.
    let (systemd, agent): (Vec<_>, Vec<_>) = on_nodes.into_iter().partition(|suite| {
        options.kind == on_systemd.kind || on_node(suite).is_some_and(|entry| entry.init == Init::Systemd)
    });
    for (options, suites) in [(options, agent), (&on_systemd, systemd)] {
        if !suites.is_empty() {
            failed.extend(run_on_a_node(layout, progress, options, &suites, &selection.arguments)?);
        }
    }
    if !failed.is_empty() {
        bail!("tests failed {}", failed.join("; "));
    }
    Ok(())
}

/// Boots a node for these suites; returns what failed.
fn run_on_a_node(
    layout: &Layout,
    progress: &Progress,
    options: &NodeOptions,
    suites: &[&Executable],
    arguments: &[String],
) -> Result<Option<String>> {
    let node = Node::boot(layout, progress, options)?;
    let failed = run_suites(layout, &node, suites, arguments)?;
    if failed.is_empty() {
        node.shutdown()?;
        return Ok(None);
    }
    node.flush_logs()?;
    show_containerd_log(&node);
    Ok(Some(format!("on the node ({}): {}", node.logs().display(), failed.join(", "))))
}

/// Builds once what runs here and on the node.
fn build(layout: &Layout, progress: &Progress, selection: &Selection) -> Result<Vec<Executable>> {
    let built = progress.step("build tests", |log| {
        let mut arguments = vec!["test", "--no-run", "--workspace"];
        if selection.suites.is_empty() {
            arguments.extend(["--lib", "--bins", "--tests"]);
        }
        for suite in &selection.suites {
            arguments.extend(["--test", suite]);
        }
        cargo::build_static(layout, log, &arguments)
    })?;
    // Cargo also builds the programs that tests call.
    Ok(built.into_iter().filter(|executable| executable.kind != Kind::Program).collect())
}

fn belongs_on_node(layout: &Layout, suite: &Executable, selection: &Selection) -> bool {
    suite.kind == Kind::IntegrationTest
        && (!selection.suites.is_empty()
            || suite.package == layout.workspace().join(NODE_PACKAGE)
            || on_node(suite).is_some())
}

fn on_node(suite: &Executable) -> Option<&'static OnNode> {
    ON_NODES.iter().find(|entry| suite.kind == Kind::IntegrationTest && entry.suite == suite.name)
}

/// Runs unit tests, the other packages' `tests/` and the documentation's examples; returns what failed.
fn run_here(layout: &Layout, built: &[Executable]) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for test in built {
        if test.kind == Kind::IntegrationTest && test.package == layout.workspace().join(NODE_PACKAGE) {
            continue;
        }
        let package = test.package.file_name().unwrap_or_default().to_string_lossy();
        let title = match test.kind {
            Kind::IntegrationTest => format!("{package}/tests/{}", test.name),
            Kind::UnitTests | Kind::Program => format!("{package}: unit tests of {}", test.name),
        };
        if on_node(test).is_some_and(|entry| entry.init == Init::Systemd) {
            continue;
        }
        eprintln!("  here: {title}");
        let status = Command::new(&test.path)
            .current_dir(&test.package)
            .env("CARGO_MANIFEST_DIR", &test.package)
            .env("RUST_BACKTRACE", "1")
            .status()
            .with_context(|| format!("start {}", test.path.display()))?;
        if !status.success() {
            failed.push(format!("here: {title} ({status})"));
        }
    }
    eprintln!("  here: examples in the documentation");
    let examples = ["test", "--quiet", "--workspace", "--doc"];
    let status = cargo::command(layout, &examples).status().context("start cargo")?;
    if !status.success() {
        failed.push(format!("here: examples in the documentation ({status})"));
    }
    Ok(failed)
}

/// Returns the names of those that failed.
fn run_suites(
    layout: &Layout,
    node: &Node,
    suites: &[&Executable],
    arguments: &[String],
) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for suite in suites {
        eprintln!("  on the node: {}", suite.name);
        if !run_suite(layout, node, suite, arguments)? {
            failed.push(suite.name.clone());
        }
    }
    Ok(failed)
}

fn run_suite(layout: &Layout, node: &Node, suite: &Executable, arguments: &[String]) -> Result<bool> {
    let program = suite.path.display().to_string();
    let own = on_node(suite).map_or(&[][..], |entry| entry.arguments);
    let own = own.iter().map(|argument| (*argument).to_owned());
    let argv = std::iter::once(program).chain(own).chain(arguments.iter().cloned());
    let mut command = node
        .command(argv)
        .directory("/root")
        .env("BALLAST_WORKSPACE", layout.workspace().display().to_string())
        .env("BALLAST_NODE_LOGS", node.logs().display().to_string())
        .env("RUST_BACKTRACE", "1");
    if let Ok(handler) = std::env::var(HANDLER_VARIABLE) {
        command = command.env(HANDLER_VARIABLE, handler);
    }
    let session = command.start()?;
    session.input().end()?;
    let deadline = Deadline::start(session.input(), SUITE_DEADLINE);
    let mut output = Slow::new(io::stdout());
    let ending = session
        .copy_output(&mut output, &mut io::stderr())
        .with_context(|| format!("run {} on the node, its logs: {}", suite.name, node.logs().display()))?;
    if deadline.has_passed() {
        let minutes = SUITE_DEADLINE.as_secs() / 60;
        eprintln!("  {}: killed after {minutes} minutes; still running: {}", suite.name, output.tests());
    }
    Ok(ending == Ending::Code(0))
}

fn show_containerd_log(node: &Node) {
    let path = node.logs().join("containerd.log");
    match progress::tail(&path, LOG_TAIL_BYTES) {
        Ok(text) => eprintln!("the end of {}:\n{text}", path.display()),
        Err(error) => eprintln!("{}: {error}", path.display()),
    }
}
