//! A container's numbers as the kernel's texts.
//!
//! Each file has the layout that the kernel's own has, to the byte, because programs such as procps read by column or by
//! `scanf`. The host's text is the template where kernels differ in which lines they print. A line that a cgroup knows
//! nothing about shows the host's number only where that tells nothing about the host's other tenants (a page size), and
//! otherwise zero. Must not read files.

mod cpu_lists;
mod cpu_topology;
mod cpuinfo;
mod diskstats;
mod loadavg;
mod meminfo;
mod slabinfo;
mod stat;
mod swaps;
mod text;
mod uptime;
mod vmstat;

pub use cpu_lists::{cpu_range, no_cpus};
pub use cpu_topology::{CPU_TOPOLOGY, CpuTopology};
pub use cpuinfo::cpuinfo;
pub use diskstats::{BlockIo, diskstats};
pub use loadavg::loadavg;
pub use meminfo::{HugePages, meminfo};
pub use slabinfo::slabinfo;
pub use stat::{Stat, stat};
pub use swaps::swaps;
pub use uptime::uptime;
pub use vmstat::vmstat;

#[cfg(test)]
mod properties;
