//! Everything that one run found, as it travels from the node.

use serde::{Deserialize, Serialize};

/// Who shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Contender {
    Host,
    Lxcfs,
    Ballast,
}

impl Contender {
    pub(super) const ALL: [Self; 3] = [Self::Host, Self::Lxcfs, Self::Ballast];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Lxcfs => "lxcfs",
            Self::Ballast => "Ballast",
        }
    }
}

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) kernel: String,
    pub(super) cpus: usize,
    /// Tasks that wanted a CPU over the last minute when the run ended: what was noisy.
    pub(super) load: String,
    pub(super) reads: u32,
    /// Whether the container's memory and CPU time were limited, which takes the controllers.
    pub(super) has_limits: bool,
    pub(super) lxcfs: Lxcfs,
    pub(super) rows: Vec<Row>,
    pub(super) costs: Vec<Cost>,
    /// Memory of the serving process that only it has, in KiB, for one more container of which every file was read.
    pub(super) memory_kib_per_container: f64,
}

/// The lxcfs that was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lxcfs {
    pub(super) version: String,
    /// Its `MemTotal` is the host's though the reader's cgroup has a limit.
    pub(super) shows_the_hosts_memory: bool,
}

/// Readings of one file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) file: String,
    pub(super) contender: Contender,
    pub(super) readers: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// What the reader says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) mean_ns: u64,
    pub(super) median_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) per_second: f64,
    pub(super) bytes: u64,
}

/// What the server of a file spends on one open, read to the end and close.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    pub(super) file: String,
    pub(super) contender: Contender,
    pub(super) system_calls: f64,
    pub(super) cpu_us: f64,
}

impl Outcome {
    pub(super) fn find(&self, file: &str, contender: Contender, readers: u32) -> Option<&Figures> {
        let mut rows = self.rows.iter();
        let row =
            rows.find(|row| row.file == file && row.contender == contender && row.readers == readers)?;
        Some(&row.figures)
    }

    pub(super) fn cost(&self, file: &str, contender: Contender) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.file == file && cost.contender == contender)
    }
}
