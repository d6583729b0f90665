//! What a node's kernel has for priorities: every backend, every knob, and which of them is used.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::knob::{Backend, Knob, Mechanism};
use super::report::Reason;

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// The cgroup whose files were looked at.
    pub cgroup: PathBuf,
    /// Every backend.
    pub backends: Vec<BackendReport>,
    /// What is done for each knob, in the order of [`Knob::ALL`].
    pub treatments: Vec<Treatment>,
    /// What else an operator should know.
    pub remarks: Vec<Remark>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendReport {
    /// Which.
    pub backend: Backend,
    /// The knobs that it has anything for.
    pub knobs: Vec<KnobReport>,
}

/// One knob of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnobReport {
    /// Which.
    pub knob: Knob,
    /// The files that do it, without a directory.
    pub files: Vec<String>,
    /// Whether they are there and in effect.
    pub availability: Availability,
}

/// Whether a backend's files for a knob are there and in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "availability", rename_all = "kebab-case")]
pub enum Availability {
    /// They are.
    Present,
    /// They are not.
    Absent {
        /// Missing, or gated off by what.
        why: Reason,
    },
}

/// What is done for a knob on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// Which.
    pub knob: Knob,
    /// The backend whose files are written.
    pub backend: Option<Backend>,
    /// What the runtime does itself, when no file does it.
    pub mechanisms: Vec<Mechanism>,
}

/// What an operator should know beyond the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "remark", rename_all = "kebab-case")]
pub enum Remark {
    /// TencentOS with Linux 4.14, whose files are in cgroup v1 hierarchies only.
    TencentOsCgroupV1,
    /// Priorities of memory count inside of pods, and not when the whole node is short.
    GlobalOomIgnoresPriorities {
        /// The switch that is off.
        gate: &'static str,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TencentOsCgroupV1 => formatter.write_str(
                "a TencentOS 4.14 node with cgroup v1 hierarchies: not supported, because its cpu.offline and BT files are in \
                 the v1 hierarchy of cpu, and containers are placed in cgroup v2 only",
            ),
            Self::GlobalOomIgnoresPriorities { gate } => write!(
                formatter,
                "{gate} is off: priorities decide who is killed when a pod is short of memory, not when the node is"
            ),
        }
    }
}
