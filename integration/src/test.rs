//! `cargo xtask test`: unit tests on this machine, then every crate's `tests/` on a node. Knows nothing of what
//! they test.

use std::io;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node::protocol::Ending;
use crate::node::{Node, NodeOptions};
use crate::progress::{self, Progress};
use crate::setup::cargo::{self, Executable};
use crate::setup::layout::Layout;

/// How much of containerd's log is shown when a test failed.
const LOG_TAIL_BYTES: u64 = 6_000;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these files of `tests/` (names without `.rs`), and no unit tests; everything when empty.
    pub suites: Vec<String>,
    /// Handed to every test program on the node: name filters and libtest's options.
    pub arguments: Vec<String>,
}

/// Runs the selected tests.
///
/// # Errors
/// When one failed; what failed was shown. When nothing was selected.
pub fn run(layout: &Layout, progress: &Progress, options: &NodeOptions, selection: &Selection) -> Result<()> {
    if selection.suites.is_empty() {
        unit_tests(layout)?;
    }
    let suites = build_suites(layout, progress, selection)?;
    let node = Node::boot(layout, progress, options)?;
    let mut failed = Vec::new();
    for suite in &suites {
        eprintln!("  on the node: {}", suite.name);
        if !run_suite(layout, &node, suite, &selection.arguments)? {
            failed.push(suite.name.as_str());
        }
    }
    if failed.is_empty() {
        return node.shutdown();
    }
    node.flush_logs()?;
    show_containerd_log(&node);
    let logs = node.logs().to_owned();
    drop(node);
    bail!("failed on the node: {}; its logs: {}", failed.join(", "), logs.display())
}

/// Everything that needs no node, as cargo runs it.
fn unit_tests(layout: &Layout) -> Result<()> {
    for arguments in [&["test", "--workspace", "--lib", "--bins"][..], &["test", "--workspace", "--doc"][..]]
    {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(arguments)
            .current_dir(layout.workspace())
            .status()
            .context("start cargo")?;
        if !status.success() {
            bail!("`cargo {}`: {status}", arguments.join(" "));
        }
    }
    Ok(())
}

fn build_suites(layout: &Layout, progress: &Progress, selection: &Selection) -> Result<Vec<Executable>> {
    let built = progress.step("build tests for the node", |log| {
        let mut arguments = vec!["test", "--no-run", "--workspace"];
        if selection.suites.is_empty() {
            arguments.extend(["--test", "*"]);
        }
        for suite in &selection.suites {
            arguments.extend(["--test", suite]);
        }
        cargo::build_static(layout, log, &arguments)
    })?;
    // Cargo also builds the programs that tests may call.
    let suites: Vec<_> = built.into_iter().filter(|executable| executable.kind == "test").collect();
    if suites.is_empty() {
        bail!("there are no tests for the node");
    }
    Ok(suites)
}

fn run_suite(layout: &Layout, node: &Node, suite: &Executable, arguments: &[String]) -> Result<bool> {
    let program = suite.path.display().to_string();
    let argv = std::iter::once(program).chain(arguments.iter().cloned());
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
