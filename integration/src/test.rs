//! `cargo xtask test`: what needs no containerd on this machine, then the rest on a node. Knows which test runs where,
//! nothing of what they test.

use std::io;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node::protocol::Ending;
use crate::node::{Node, NodeOptions};
use crate::progress::{self, Progress};
use crate::setup;
use crate::setup::cargo::{self, Executable, Kind};
use crate::setup::layout::Layout;

/// How much of containerd's log is shown when a test failed.
const LOG_TAIL_BYTES: u64 = 6_000;

/// The package whose `tests/` take a node with containerd for granted.
const NODE_PACKAGE: &str = "integration";

/// Files of other packages' `tests/` that a run on the node adds something to, and their arguments there.
const ALSO_ON_THE_NODE: [(&str, &[&str]); 2] = [
    // What this machine's cgroups have no controllers for is ignored here.
    ("node_limits", &["--include-ignored"]),
    // Another kernel, real controllers: cheap, and the root of everything else.
    ("containers", &[]),
];

/// Files of `tests/` that no machine of ours can run, and what they need.
const NOT_RUN: [(&str, &str); 1] = [("node_systemd", "needs systemd as PID 1")];

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
    let on_node: Vec<_> = built.iter().filter(|suite| belongs_on_node(layout, suite, selection)).collect();
    if on_node.is_empty() {
        bail!("there are no tests for the node");
    }
    let node = Node::boot(layout, progress, options)?;
    let failed_on_node = run_on_node(layout, &node, &on_node, &selection.arguments)?;
    let logs = node.logs().to_owned();
    if failed_on_node.is_empty() {
        node.shutdown()?;
    } else {
        node.flush_logs()?;
        show_containerd_log(&node);
        drop(node);
        failed.push(format!("on the node ({}): {}", logs.display(), failed_on_node.join(", ")));
    }
    if !failed.is_empty() {
        bail!("tests failed {}", failed.join("; "));
    }
    Ok(())
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
            || ALSO_ON_THE_NODE.iter().any(|(name, _)| *name == suite.name))
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
        if let Some((_, reason)) = not_run(test) {
            eprintln!("  not run: {title} ({reason})");
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

fn not_run(test: &Executable) -> Option<&'static (&'static str, &'static str)> {
    NOT_RUN.iter().find(|(name, _)| test.kind == Kind::IntegrationTest && *name == test.name)
}

/// Returns the names of those that failed.
fn run_on_node(
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
    let own = ALSO_ON_THE_NODE.iter().find(|(name, _)| *name == suite.name).map_or(&[][..], |(_, own)| *own);
    let own = own.iter().map(|argument| (*argument).to_owned());
    let argv = std::iter::once(program).chain(own).chain(arguments.iter().cloned());
    let ending = node
        .command(argv)
        .directory("/root")
        .env("BALLAST_WORKSPACE", layout.workspace().display().to_string())
        .env("BALLAST_NODE_LOGS", node.logs().display().to_string())
        .env("RUST_BACKTRACE", "1")
        .stream(&mut io::stdout(), &mut io::stderr())
        .with_context(|| format!("run {} on the node, its logs: {}", suite.name, node.logs().display()))?;
    Ok(ending == Ending::Code(0))
}

fn show_containerd_log(node: &Node) {
    let path = node.logs().join("containerd.log");
    match progress::tail(&path, LOG_TAIL_BYTES) {
        Ok(text) => eprintln!("the end of {}:\n{text}", path.display()),
        Err(error) => eprintln!("{}: {error}", path.display()),
    }
}
