//! One cgroup v2 directory: its place in the hierarchy, its limits and device rules, freezing, killing and removing
//! what is in it, and its statistics.
//!
//! Everything here is synchronous and some of it blocks (a lower memory limit reclaims), so callers keep it off
//! their event loops. It knows no container process, no protocol and no async runtime.

#![forbid(unsafe_code)]

mod attribute;
mod bpf;
mod cgroup;
mod controllers;
mod cpu_list;
mod cpuset;
mod delete;
mod devices;
mod directory;
mod error;
mod events;
mod freeze;
mod hierarchy;
mod kernel_log;
mod kernel_view;
mod limits;
mod lineage;
mod memory_events;
pub mod memory_qos;
mod path;
mod place;
pub mod priority;
mod processes;
mod reclaim;
mod statistics;
mod subtree;
mod systemd;

pub use bpf::BpfInstruction;
pub use cgroup::Cgroup;
pub use controllers::Controllers;
pub use cpu_list::CpuList;
pub use cpuset::{CpuTopology, Narrowing};
pub use devices::DevicePolicy;
pub use error::{Error, Kind, Result};
pub use hierarchy::Hierarchy;
pub use limits::{DeviceNumber, Limits};
pub use lineage::{Ancestor, CgroupFile};
pub use memory_events::MemoryEventsFile;
pub use path::{CgroupPath, PathFault, SystemdUnit};
pub use reclaim::{Marks, Reclaim, Step};
pub use statistics::{
    CpuStatistics, HugetlbStatistics, IoStatistics, MemoryEvents, MemoryStat, MemoryStatistics,
    PidsStatistics, Pressure, PressureLine, RdmaStatistics, Statistics, StatisticsReader,
};
pub use systemd::{SystemdError, UnitProperties};
