//! `cargo xtask bench --runtime-only`: one container's whole life by the runtime alone, on this machine's kernel, beside
//! `runc run`, `crun run` and a floor of bare system calls. Knows what is compared, nothing of how a container is made.

mod bundle;
mod contender;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::conditions::Conditions;
use super::samples::Quartiles;
use crate::progress::Progress;
use crate::setup;
use crate::setup::cache;
use crate::setup::cargo;
use crate::setup::layout::Layout;

use crate::tools::{self, Tool};
use bundle::Bundles;
use contender::Contender;
use report::{Report, Row};

/// Rounds before those that count: caches fill, and runc copies itself once.
const WARM_UP: u32 = 3;

/// How much to measure, and where the results go besides standard output.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Rounds; in each one every contender has one container.
    pub iterations: u32,
    /// A file for the table in Markdown.
    pub markdown: Option<PathBuf>,
    /// A file for the results in JSON.
    pub json: Option<PathBuf>,
}

/// Measures, and prints the table.
///
/// # Errors
/// When something cannot be built, a container fails, or a result cannot be written.
pub fn run(layout: &Layout, progress: &Progress, measurement: &Measurement) -> Result<()> {
    setup::install_packages(layout, progress)?;
    // Everything below sees cgroup v2 and nothing else, as a node that the field runs today.
    if let Some(status) = crate::hierarchy::run_again_where_unified()? {
        return status;
    }
    let programs = Programs::build(layout, progress)?;
    let place = layout.node().join("bench-runtime");
    cache::remove(&place)?;
    let bundles = Bundles::write(&place, &programs.container)?;
    let conditions = Conditions::at_the_start()?;
    let measured = measure(&programs, &bundles, measurement.iterations);
    cache::remove(&place)?;
    let report = Report::new(conditions.at_the_end()?, measurement.iterations, measured?, &programs.runc)?;
    println!("\n{report}");
    if let Some(path) = &measurement.markdown {
        fs::write(path, report.markdown()).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &measurement.json {
        let text = serde_json::to_string_pretty(&report).context("encode the results")?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// What is run.
struct Programs {
    lifecycle: PathBuf,
    floor: PathBuf,
    runc: PathBuf,
    /// The container's own program.
    container: PathBuf,
}

impl Programs {
    fn build(layout: &Layout, progress: &Progress) -> Result<Self> {
        let tools = tools::build(&[Tool::Runc], layout.node(), progress)?;
        let lifecycle = progress.step("build lifecycle", |log| {
            let arguments = ["build", "--release", "--package", "ballast-runtime", "--example", "lifecycle"];
            cargo::find(&cargo::build_static(layout, log, &arguments)?, "lifecycle")
        })?;
        let compile = |name: &str| {
            let source = layout.workspace().join(format!("integration/floor/{name}.c"));
            let program = layout.node().join(format!("bench-{name}"));
            progress.step(&format!("build {name}"), |log| {
                log.run(Command::new("gcc").args(["-O2", "-static", "-o"]).arg(&program).arg(&source))
            })?;
            Ok::<_, anyhow::Error>(program)
        };
        let (floor, container) = (compile("floor")?, compile("true")?);
        Ok(Self { lifecycle, floor, runc: tools.bin_directory().join("runc"), container })
    }
}

fn measure(programs: &Programs, bundles: &Bundles, iterations: u32) -> Result<Vec<Row>> {
    let bundle = bundles.of("ballast")?;
    let mut contenders = [
        Contender::resident(
            "floor",
            &programs.floor,
            [bundles.rootfs().as_os_str(), bundles.cgroup("floor").as_os_str()],
        )?,
        Contender::resident("ballast", &programs.lifecycle, [bundle.as_os_str(), "ballast".as_ref()])?,
        Contender::command("crun", "crun".as_ref(), &bundles.of("crun")?),
        Contender::command("runc", &programs.runc, &bundles.of("runc")?),
    ];
    let mut rows: Vec<_> = contenders.iter().map(|contender| (contender.name(), Vec::new())).collect();
    for round in 0..WARM_UP + iterations {
        for turn in 0..contenders.len() {
            // Who begins changes with the round, so that noise hits all alike.
            let index = (turn + round as usize) % contenders.len();
            let nanoseconds = contenders[index].live()?;
            if round >= WARM_UP {
                rows[index].1.push(nanoseconds);
            }
        }
    }
    Ok(rows.into_iter().map(|(name, values)| Row { name, quartiles: Quartiles::of(values) }).collect())
}
