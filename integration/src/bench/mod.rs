//! `cargo xtask bench`: Ballast beside runc and crun on one node, in one run, through containerd's CRI.
//!
//! Figures are for comparing handlers with each other, never an absolute: the node and the machine are whatever they are.
//! Knows the load generator's output and what is compared, nothing of Ballast's inside.

mod budget;
mod conditions;
mod html;
mod parts;
pub mod proc;
mod report;
pub mod runtime_only;
mod samples;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::node::{Node, NodeOptions};
use crate::progress::Progress;
use crate::setup::layout::Layout;
use crate::tools::{self, Tool};
use conditions::Conditions;
use report::{Report, Versions};

pub(crate) use samples::Quartiles;

/// What is compared: the first is what the others are yardsticks for.
const HANDLERS: [&str; 3] = ["ballast", "crun", "runc"];

/// How much to measure, and where the results go besides standard output.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Rounds of the latency measurements.
    pub iterations: u32,
    /// Pods at once in the memory measurements, rising.
    pub pods: Vec<u32>,
    /// Pods that are started together; `None` for as many as the time of a run leaves.
    pub crowd: Option<u32>,
    /// How many of them at a time, besides one.
    pub widths: Vec<u32>,
    /// What a container writes to its log in the measurements of logs, in MiB.
    pub log_mebibytes: u32,
    /// What a container writes to a reader that only counts, in MiB.
    pub output_mebibytes: u32,
    /// A file for the table in Markdown.
    pub markdown: Option<PathBuf>,
    /// A file for the results in JSON, every single value included.
    pub json: Option<PathBuf>,
    /// A file for the results as a page with plots.
    pub html: Option<PathBuf>,
}

/// Measures on a node of its own, and prints the table.
///
/// # Errors
/// When a measurement failed or is missing, when a pod was left, or when a result could not be written.
pub fn run(
    layout: &Layout,
    progress: &Progress,
    options: &NodeOptions,
    measurement: &Measurement,
) -> Result<()> {
    if options.containerd.is_none() {
        bail!("the benchmark drives containerd: it cannot run on a bare node");
    }
    tools::build(&[Tool::CriBench], layout.node(), progress)?;
    let node = Node::boot(layout, progress, options)?;
    let measured = measure(&node, progress, measurement);
    node.shutdown()?;
    let report = measured?;
    println!("\n{report}");
    if let Some(path) = &measurement.markdown {
        fs::write(path, report.markdown()).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &measurement.json {
        let text = serde_json::to_string_pretty(&report.json()).context("encode the results")?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &measurement.html {
        fs::write(path, html::render(&report)).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn measure(node: &Node, progress: &Progress, measurement: &Measurement) -> Result<Report> {
    let versions = Versions::of(node)?;
    let conditions = Conditions::at_the_start()?;
    let (samples, spans) = parts::measure(node, progress, measurement)?;
    Report::new(versions, conditions.at_the_end()?, measurement.iterations, spans, &samples)
}
