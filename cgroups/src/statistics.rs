//! What a cgroup has used and is using: plain numbers in the kernel's units.
//! Knows no wire format; whoever sends the numbers maps them.

mod parse;
mod reader;

pub(crate) use parse::memory_events as parse_memory_events;
pub(crate) use parse::pressure as parse_pressure;
pub use reader::StatisticsReader;

/// All statistics of one cgroup at one moment. A controller that the cgroup does not have leaves its part at `None`
/// or empty. A bound of `u64::MAX` stands for "max".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// From the `pids` controller.
    pub pids: Option<PidsStatistics>,
    /// From `cpu.stat`, which has the times even without the `cpu` controller.
    pub cpu: CpuStatistics,
    /// From `cpu.pressure`.
    pub cpu_pressure: Option<Pressure>,
    /// From the `memory` controller.
    pub memory: Option<MemoryStatistics>,
    /// From `memory.events`.
    pub memory_events: Option<MemoryEvents>,
    /// From `memory.pressure`.
    pub memory_pressure: Option<Pressure>,
    /// From `io.stat`, one entry per device that has been used.
    pub io: Vec<IoStatistics>,
    /// From `io.pressure`.
    pub io_pressure: Option<Pressure>,
    /// From `rdma.current`, one entry per device.
    pub rdma_current: Vec<RdmaStatistics>,
    /// From `rdma.max`, one entry per device; `u32::MAX` stands for "max".
    pub rdma_max: Vec<RdmaStatistics>,
    /// From the `hugetlb` controller, one entry per page size.
    pub hugetlb: Vec<HugetlbStatistics>,
}

/// Numbers of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsStatistics {
    /// `pids.current`
    pub current: u64,
    /// `pids.max`
    pub limit: u64,
}

/// The keys of `cpu.stat`; those after `system_usec` stay 0 without the `cpu` controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the keys of cpu.stat, documented by the kernel")]
pub struct CpuStatistics {
    pub usage_usec: u64,
    pub user_usec: u64,
    pub system_usec: u64,
    pub nr_periods: u64,
    pub nr_throttled: u64,
    pub throttled_usec: u64,
    pub nr_bursts: u64,
    pub burst_usec: u64,
}

/// Pressure stall information (kernel documentation, "PSI").
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Some task was stalled.
    pub some: PressureLine,
    /// All tasks were stalled; for the CPU only since Linux 5.13.
    pub full: PressureLine,
}

/// One line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PressureLine {
    /// Share of the last 10 seconds, in percent.
    pub avg10: f64,
    /// Share of the last 60 seconds, in percent.
    pub avg60: f64,
    /// Share of the last 300 seconds, in percent.
    pub avg300: f64,
    /// Total time, in microseconds.
    pub total_usec: u64,
}

/// Use of memory in bytes, and the keys of `memory.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// `memory.current`
    pub usage: u64,
    /// `memory.max`
    pub usage_limit: u64,
    /// `memory.peak`, 0 before Linux 5.19.
    pub usage_peak: u64,
    /// `memory.swap.current`, 0 without swap accounting.
    pub swap_usage: u64,
    /// `memory.swap.max`, 0 without swap accounting.
    pub swap_limit: u64,
    /// `memory.swap.peak`, 0 before Linux 6.5.
    pub swap_peak: u64,
    /// `memory.stat`
    pub stat: MemoryStat,
}

/// Declares a struct whose fields are the keys of a flat keyed file, with a setter by key.
macro_rules! flat_keyed {
    ($(#[$attribute:meta])* $name:ident { $($key:ident),* $(,)? }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are the keys of the file, documented by the kernel")]
        pub struct $name {
            $(pub $key: u64,)*
        }

        impl $name {
            /// Sets the field of that name; a key that is not among them is passed over.
            fn set(&mut self, key: &str, value: u64) {
                match key {
                    $(stringify!($key) => self.$key = value,)*
                    _ => {}
                }
            }
        }
    };
}

flat_keyed! {
    /// Keys of `memory.stat`. The kernel splits `workingset_refault` and `workingset_activate` by `_anon` and `_file`
    /// since Linux 5.9; the fields without these endings are then the sums.
    MemoryStat {
        anon, file, kernel_stack, slab, sock, shmem, file_mapped, file_dirty, file_writeback, anon_thp, inactive_anon,
        active_anon, inactive_file, active_file, unevictable, slab_reclaimable, slab_unreclaimable, pgfault, pgmajfault,
        workingset_refault, workingset_activate, workingset_nodereclaim, pgrefill, pgscan, pgsteal, pgactivate,
        pgdeactivate, pglazyfree, pglazyfreed, thp_fault_alloc, thp_collapse_alloc, workingset_refault_anon,
        workingset_refault_file, workingset_activate_anon, workingset_activate_file,
    }
}

flat_keyed! {
    /// Keys of `memory.events`: how often something happened in the cgroup or below it.
    MemoryEvents { low, high, max, oom, oom_kill, oom_group_kill }
}

/// One device of `io.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the keys of io.stat, documented by the kernel")]
pub struct IoStatistics {
    pub major: u64,
    pub minor: u64,
    pub rbytes: u64,
    pub wbytes: u64,
    pub rios: u64,
    pub wios: u64,
}

/// One device of `rdma.current` or `rdma.max`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdmaStatistics {
    /// The device's name.
    pub device: String,
    /// Handles.
    pub hca_handles: u32,
    /// Objects.
    pub hca_objects: u32,
}

/// One page size of the `hugetlb` controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HugetlbStatistics {
    /// As in the file's name: `2MB`.
    pub page_size: String,
    /// Use in bytes.
    pub current: u64,
    /// Bound in bytes.
    pub max: u64,
    /// How often an allocation failed because of the bound.
    pub failures: u64,
}
