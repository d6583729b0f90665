//! `cargo xtask gate`: counts what the shim does per request and compares it with the budget that is checked in
//! (`integration/gate/budget.json`). No clock is looked at, so the result does not depend on the machine's speed or load.
//!
//! System calls and memory are counted on the node, whose kernel and cgroups are the same everywhere; instructions on this
//! machine's own kernel, where stepping through them is quicker. Knows no request and no shim: the meter does.

mod budget;
pub mod measured;
mod report;
mod safety;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::hierarchy;
use crate::node::{Node, NodeOptions};
use crate::progress::Progress;
use crate::setup::ballast::{self, Source};
use crate::setup::cargo;
use crate::setup::layout::Layout;
use budget::{Budget, Found};
use measured::{Measured, PREFIX};
use report::Report;

const SHIM: &str = "containerd-shim-ballast-v2";
/// What is installed on a node: their sizes are gated.
const BINARIES: [&str; 2] = [SHIM, "ballast"];
/// Cargo's way of building a release otherwise than the workspace says.
const PROFILE_VARIABLES: &str = "CARGO_PROFILE_RELEASE_";

/// What to do with what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Compare it with the budget.
    Compare,
    /// Make it the budget.
    Record,
}

/// Counts, and compares or records.
///
/// # Errors
/// When the budget is exceeded, after a report of what grew; when something cannot be built, booted or counted.
pub fn run(layout: &Layout, progress: &Progress, ballast: Source, purpose: Purpose) -> Result<()> {
    let path = layout.workspace().join("integration/gate/budget.json");
    let overridden = overridden_profile();
    if purpose == Purpose::Record && !overridden.is_empty() {
        bail!("a budget is that of the workspace's release profile: unset {}", overridden.join(", "));
    }
    let found = count(layout, progress, ballast, overridden.is_empty())?;
    if purpose == Purpose::Record {
        let budget = Budget::of(&found);
        let text = serde_json::to_string_pretty(&budget).context("encode the budget")?;
        fs::write(&path, text + "\n").with_context(|| format!("write {}", path.display()))?;
        eprintln!("  recorded in {}", path.display());
        return Ok(());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let budget: Budget = serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    let report = Report::new(&budget, &found)?;
    println!("\n{report}");
    println!("{}", safety::reminder());
    if !overridden.is_empty() {
        println!("instructions, memory and sizes: not compared, for {} changes them", overridden.join(", "));
    }
    if report.exceeds() {
        bail!("the budget is exceeded; `cargo xtask gate --record` makes what was counted the new one");
    }
    Ok(())
}

/// Variables that change what the release profile means; what it decides cannot be compared then.
fn overridden_profile() -> Vec<String> {
    let mut names: Vec<_> =
        std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with(PROFILE_VARIABLES)).collect();
    names.sort();
    names
}

fn count(layout: &Layout, progress: &Progress, ballast: Source, own_profile: bool) -> Result<Found> {
    if ballast == Source::WorkingTree {
        ballast::build(layout, progress)?;
    }
    let meter = progress.step("build the meter", |log| {
        let arguments = ["build", "--package", "ballast-integration", "--bin", "meter"];
        cargo::find(&cargo::build_static(layout, log, &arguments)?, "meter")
    })?;
    let shim = layout.bin().join(SHIM);
    // Never this machine's kernel: it has other features, and counts would be others.
    let options = NodeOptions { containerd: None, ballast, ..NodeOptions::default() };
    let node = Node::boot(layout, progress, &options)?;
    let on_node = progress.step("count system calls", |_| {
        let argv = [&meter, Path::new("syscalls"), &shim].map(|word: &Path| word.display().to_string());
        parse(&node.command(argv).run()?)
    })?;
    node.shutdown()?;
    let mut found = Found { syscalls: on_node.operations, ..Found::default() };
    if own_profile {
        found.memory = on_node.memory;
        found.instructions = progress
            .step("count instructions", |log| {
                let mut command = hierarchy::command(&meter)?;
                parse(&log.capture(command.arg("instructions").arg(&shim))?)
            })?
            .operations;
        for name in BINARIES {
            let path = layout.bin().join(name);
            let size = path.metadata().with_context(|| format!("look at {}", path.display()))?.len();
            found.sizes.insert(name.to_owned(), size);
        }
    }
    Ok(found)
}

fn parse(output: &str) -> Result<Measured> {
    let line =
        output.lines().find_map(|line| line.strip_prefix(PREFIX)).context("the meter printed nothing")?;
    serde_json::from_str(line).context("parse the meter's line")
}
