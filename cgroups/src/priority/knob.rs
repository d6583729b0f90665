//! The names of things: what can be asked for, who translates it, and what is done elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that a container can ask for. A level asks for the first four, except that packets get it only when
/// that is asked for by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knob {
    /// Who gets the CPU first.
    Cpu,
    /// Whose memory is reclaimed, and who is killed, last.
    Memory,
    /// Whose reads and writes come first.
    DiskWeight,
    /// Whose packets go first.
    NetPriority,
    /// CPU time beyond the quota, saved up before.
    CpuBurst,
    /// No strangers on the other hardware threads of a core.
    CpuSmtIsolation,
    /// Reclaim in the background before the limit is reached.
    MemoryAsyncReclaim,
    /// A bound of page cache.
    PageCacheLimit,
    /// Bounds of disks.
    DiskLimits,
    /// Bounds of network traffic.
    NetLimits,
}

impl Knob {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Memory,
        Self::DiskWeight,
        Self::NetPriority,
        Self::CpuBurst,
        Self::CpuSmtIsolation,
        Self::MemoryAsyncReclaim,
        Self::PageCacheLimit,
        Self::DiskLimits,
        Self::NetLimits,
    ];

    /// Its name in text and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::DiskWeight => "disk-weight",
            Self::NetPriority => "net-priority",
            Self::CpuBurst => "cpu-burst",
            Self::CpuSmtIsolation => "cpu-smt-isolation",
            Self::MemoryAsyncReclaim => "memory-async-reclaim",
            Self::PageCacheLimit => "page-cache-limit",
            Self::DiskLimits => "disk-limits",
            Self::NetLimits => "net-limits",
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A family of kernels, recognised by the files on the container's cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// TencentOS with RUE (`cgroup.priority`) or BT (`cpu.offline`).
    TencentOs,
    /// OpenCloudOS with a scheduling class for groups (`cpu.scx`).
    OpenCloudOs,
    /// Anolis and Alibaba Cloud Linux (`cpu.bvt_warp_ns`).
    Anolis,
    /// openEuler (`cpu.qos_level`).
    OpenEuler,
    /// What every kernel has.
    Mainline,
}

impl Backend {
    /// All of them, in the order in which they are asked; the last one is asked for what no other does.
    pub const ALL: [Self; 5] =
        [Self::TencentOs, Self::OpenCloudOs, Self::Anolis, Self::OpenEuler, Self::Mainline];

    /// Its name in text and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TencentOs => "tencentos",
            Self::OpenCloudOs => "opencloudos",
            Self::Anolis => "anolis",
            Self::OpenEuler => "openeuler",
            Self::Mainline => "mainline",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What does a knob's work where no file of a cgroup does. It is the caller's to carry out, or to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// `memory.min`, `memory.low`, `memory.high` and `memory.oom.group`, which [memory QoS](crate::memory_qos) alone writes.
    MemoryQos,
    /// `oom_score_adj` of the processes.
    OomScoreAdj,
    /// A BPF program on the cgroup that marks packets.
    PacketPriority,
    /// A BPF program on the cgroup that spaces packets out.
    PacketPacing,
    /// A longer time slice of the processes (`sched_setattr`).
    TimeSlice,
    /// `prctl(PR_SCHED_CORE)` for the processes.
    CoreScheduling,
    /// Writing to `memory.reclaim` from user space.
    UserSpaceReclaim,
}

impl Mechanism {
    /// Its name in text and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MemoryQos => "memory-qos",
            Self::OomScoreAdj => "oom-score-adj",
            Self::PacketPriority => "packet-priority",
            Self::PacketPacing => "packet-pacing",
            Self::TimeSlice => "time-slice",
            Self::CoreScheduling => "core-scheduling",
            Self::UserSpaceReclaim => "user-space-reclaim",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_text_and_in_json_are_the_same() {
        let quoted = |name: &str| format!("{name:?}");
        for knob in Knob::ALL {
            assert_eq!(serde_json::to_string(&knob).unwrap(), quoted(knob.name()));
        }
        for backend in Backend::ALL {
            assert_eq!(serde_json::to_string(&backend).unwrap(), quoted(backend.name()));
        }
        for mechanism in [
            Mechanism::MemoryQos,
            Mechanism::OomScoreAdj,
            Mechanism::PacketPriority,
            Mechanism::PacketPacing,
            Mechanism::TimeSlice,
            Mechanism::CoreScheduling,
            Mechanism::UserSpaceReclaim,
        ] {
            assert_eq!(serde_json::to_string(&mechanism).unwrap(), quoted(mechanism.name()));
        }
    }
}
