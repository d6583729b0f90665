//! The machine that measures, and how busy it was: what a reader needs to judge figures. Knows nothing of what is measured.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// Where and when a measurement was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Conditions {
    processor: String,
    cpus: usize,
    kernel: String,
    load_before: String,
    load_after: String,
}

impl Conditions {
    /// Looks at the machine before anything is measured.
    pub(super) fn at_the_start() -> Result<Self> {
        let information = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        Ok(Self {
            processor: processor.to_owned(),
            cpus: std::thread::available_parallelism().context("count the CPUs")?.get(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            load_before: load()?,
            load_after: String::new(),
        })
    }

    /// Looks at it again.
    pub(super) fn at_the_end(self) -> Result<Self> {
        Ok(Self { load_after: load()?, ..self })
    }

    pub(super) fn facts(&self) -> [(&'static str, String); 2] {
        let Self { processor, cpus, kernel, load_before, load_after } = self;
        [
            ("machine", format!("{cpus} CPUs ({processor}), Linux {kernel}")),
            ("load", format!("{load_before} before, {load_after} after")),
        ]
    }
}

/// How many tasks wanted a CPU of the machine over the last minute.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
