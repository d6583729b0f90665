//! `cargo xtask bench --proc`: what reading a file below `/proc` costs in a container with a view, beside the host's own file
//! and lxcfs. Knows what is compared and where, not how it is measured.

mod contender;
mod driver;
mod lxcfs;
mod outcome;
mod plot;
mod report;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::hierarchy;
use crate::node::protocol::Ending;
use crate::node::{Node, NodeOptions};
use crate::progress::Progress;
use crate::setup;
use crate::setup::cargo;
use crate::setup::layout::Layout;
use outcome::Outcome;

/// How much to measure, and where the results go besides standard output.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Times that each reader opens, reads and closes each file.
    pub reads: u32,
    /// A file for the table in Markdown.
    pub markdown: Option<PathBuf>,
    /// A file for the results in JSON.
    pub json: Option<PathBuf>,
    /// A file for the plot, an SVG.
    pub plot: Option<PathBuf>,
}

/// Measures on a node of its own, and prints the table.
///
/// # Errors
/// When something cannot be built, a program fails, or a result cannot be written.
pub fn run(
    layout: &Layout,
    progress: &Progress,
    options: &NodeOptions,
    measurement: &Measurement,
) -> Result<()> {
    let programs = build(layout, progress)?;
    let bare = NodeOptions { containerd: None, ..options.clone() };
    let node = Node::boot(layout, progress, &bare)?;
    let own = env::current_exe().context("find this program")?;
    let reads = measurement.reads.to_string();
    let arguments = [path_text(&own)?, "proc-driver", path_text(&programs)?, &reads];
    let mut output = Vec::new();
    let ending = node.command(arguments).stream(&mut output, &mut io::stderr()).context("run the driver")?;
    node.shutdown()?;
    if ending != Ending::Code(0) {
        bail!("the driver on the node: {ending:?}");
    }
    publish(&serde_json::from_slice(&output).context("read the driver's results")?, measurement)
}

/// Measures on this machine's kernel, in a mount namespace with cgroup v2, and prints the table.
///
/// # Errors
/// As [`run`].
pub fn run_here(layout: &Layout, progress: &Progress, measurement: &Measurement) -> Result<()> {
    setup::install_packages(layout, progress)?;
    if let Some(status) = hierarchy::run_again_where_unified()? {
        return status;
    }
    let programs = build(layout, progress)?;
    publish(&driver::measure(&programs, measurement.reads)?, measurement)
}

/// What runs on the node: measures there and prints the results as JSON.
///
/// # Errors
/// When a program fails.
pub fn drive(programs: &Path, reads: u32) -> Result<()> {
    let outcome = driver::measure(programs, reads)?;
    println!("{}", serde_json::to_string(&outcome).context("encode the results")?);
    Ok(())
}

/// A directory with the reader, the server of views, and lxcfs.
fn build(layout: &Layout, progress: &Progress) -> Result<PathBuf> {
    let programs = layout.node().join("proc-bench");
    fs::create_dir_all(&programs).with_context(|| format!("create {}", programs.display()))?;
    let server = progress.step("build proc_view", |log| {
        let arguments = ["build", "--release", "--package", "ballast-runtime", "--example", "proc_view"];
        cargo::find(&cargo::build_static(layout, log, &arguments)?, "proc_view")
    })?;
    fs::copy(&server, programs.join("proc_view")).context("copy proc_view")?;
    let source = layout.workspace().join("integration/floor/proc_reader.c");
    progress.step("build proc_reader", |log| {
        let program = programs.join("proc_reader");
        log.run(Command::new("gcc").args(["-std=gnu11", "-O2", "-static", "-o"]).arg(program).arg(&source))
    })?;
    lxcfs::fetch(&programs, progress)?;
    Ok(programs)
}

fn publish(outcome: &Outcome, measurement: &Measurement) -> Result<()> {
    let report = report::Report(outcome);
    println!("\n{report}");
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    };
    if let Some(path) = &measurement.markdown {
        write(path, report.markdown())?;
    }
    if let Some(path) = &measurement.json {
        write(path, serde_json::to_string_pretty(outcome).context("encode the results")? + "\n")?;
    }
    if let Some(path) = &measurement.plot {
        write(path, plot::draw(outcome)?)?;
    }
    Ok(())
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
