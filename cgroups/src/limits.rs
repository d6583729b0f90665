//! What a cgroup's processes may use of each resource: checked values, and nothing of where they came from.
//! Reading them from an OCI bundle is in `translate`, writing them to a cgroup in `apply`.

mod apply;
mod block_io;
pub(crate) mod convert;
mod in_force;
mod translate;
mod unified;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use convert::parse_size;
pub(crate) use unified::UnifiedFile;

/// An upper bound of a resource, in the unit of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    At(u64),
    Unlimited,
}

impl Limit {
    /// The number of bytes; `u64::MAX` stands for no limit.
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::At(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(value) => write!(formatter, "{value}"),
            Self::Unlimited => formatter.write_str("max"),
        }
    }
}

/// The checked resource limits of one container. What is not set is left as it is.
///
/// Made by [`Limits::from_oci`], before anything of the container exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub(crate) cpu: CpuLimits,
    pub(crate) cpuset: CpusetLimits,
    pub(crate) memory: MemoryLimits,
    /// `pids.max`
    pub(crate) pids: Option<Limit>,
    pub(crate) io: IoLimits,
    pub(crate) hugetlb: Vec<HugetlbLimit>,
    pub(crate) rdma: Vec<RdmaLimit>,
    /// Written last, so that they win over all of the above; those of memory in an order of their own.
    pub(crate) unified: Vec<UnifiedFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuLimits {
    /// `cpu.weight`, 1 to 10000.
    pub(crate) weight: Option<u64>,
    /// `cpu.idle`: whether the cgroup only runs when nothing else wants to.
    pub(crate) idle: Option<bool>,
    /// First value of `cpu.max`: microseconds per period.
    pub(crate) quota: Option<Limit>,
    /// Second value of `cpu.max`, in microseconds.
    pub(crate) period: Option<u64>,
    /// `cpu.max.burst`, in microseconds.
    pub(crate) burst: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpusetLimits {
    /// `cpuset.cpus`, a list as in `0-3,7`.
    pub(crate) cpus: Option<String>,
    /// `cpuset.mems`, a list of the same form.
    pub(crate) mems: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryLimits {
    /// `memory.max`, in bytes.
    pub(crate) max: Option<Limit>,
    /// `memory.min`, in bytes.
    pub(crate) min: Option<Limit>,
    /// `memory.low`, in bytes.
    pub(crate) low: Option<Limit>,
    /// `memory.high`, in bytes.
    pub(crate) high: Option<Limit>,
    /// `memory.swap.max`, in bytes of swap alone.
    pub(crate) swap_max: Option<Limit>,
    /// `memory.oom.group`: whether the kernel kills all processes when it has to kill one.
    pub(crate) oom_group: Option<bool>,
    /// Whether an update to less than what is in use is to be refused.
    pub(crate) check_before_update: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IoLimits {
    /// Weight in the OCI scale, 10 to 1000.
    pub(crate) weight: Option<u16>,
    /// Weights of single devices in the same scale.
    pub(crate) device_weights: Vec<(DeviceNumber, u16)>,
    /// One line of `io.max` per device.
    pub(crate) throttles: Vec<IoThrottle>,
}

/// A device, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

/// A device's line of `io.max`; the keys that are not set keep their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IoThrottle {
    pub(crate) device: DeviceNumber,
    /// Pairs of key (`rbps`, `wbps`, `riops`, `wiops`) and value per second.
    pub(crate) rates: Vec<(&'static str, Limit)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HugetlbLimit {
    /// As in the file's name: `2MB`.
    pub(crate) page_size: String,
    /// In bytes.
    pub(crate) max: Limit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RdmaLimit {
    pub(crate) device: String,
    pub(crate) hca_handles: Option<u32>,
    pub(crate) hca_objects: Option<u32>,
}
