//! The files of a view: their names and where a container finds them.

use std::ffi::CStr;

/// One file that is shown in place of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ViewFile {
    /// `/proc/cpuinfo`
    CpuInfo,
    /// `/proc/diskstats`
    DiskStats,
    /// `/proc/loadavg`
    LoadAverage,
    /// `/proc/meminfo`
    MemInfo,
    /// `/proc/slabinfo`
    SlabInfo,
    /// `/proc/stat`
    Stat,
    /// `/proc/swaps`
    Swaps,
    /// `/proc/uptime`
    Uptime,
    /// `/proc/vmstat`
    VmStat,
    /// `/sys/devices/system/cpu/offline`
    CpusOffline,
    /// `/sys/devices/system/cpu/online`
    CpusOnline,
    /// `/sys/devices/system/cpu/possible`
    CpusPossible,
    /// `/sys/devices/system/cpu/present`
    CpusPresent,
}

impl ViewFile {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CpuInfo,
        Self::DiskStats,
        Self::LoadAverage,
        Self::MemInfo,
        Self::SlabInfo,
        Self::Stat,
        Self::Swaps,
        Self::Uptime,
        Self::VmStat,
        Self::CpusOffline,
        Self::CpusOnline,
        Self::CpusPossible,
        Self::CpusPresent,
    ];

    /// The file that it stands for, the host's and the container's alike.
    #[must_use]
    pub const fn path(self) -> &'static CStr {
        match self {
            Self::CpuInfo => c"/proc/cpuinfo",
            Self::DiskStats => c"/proc/diskstats",
            Self::LoadAverage => c"/proc/loadavg",
            Self::MemInfo => c"/proc/meminfo",
            Self::SlabInfo => c"/proc/slabinfo",
            Self::Stat => c"/proc/stat",
            Self::Swaps => c"/proc/swaps",
            Self::Uptime => c"/proc/uptime",
            Self::VmStat => c"/proc/vmstat",
            Self::CpusOffline => c"/sys/devices/system/cpu/offline",
            Self::CpusOnline => c"/sys/devices/system/cpu/online",
            Self::CpusPossible => c"/sys/devices/system/cpu/possible",
            Self::CpusPresent => c"/sys/devices/system/cpu/present",
        }
    }

    /// Whether only a change of the container's CPUs changes it. The kernel keeps such a text; any other is asked for with
    /// every read.
    #[must_use]
    pub(crate) const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::CpuInfo | Self::CpusOffline | Self::CpusOnline | Self::CpusPossible | Self::CpusPresent
        )
    }

    /// The last part of its path, which no two of them share.
    #[must_use]
    pub fn name(self) -> &'static str {
        let path = self.path().to_str().unwrap_or_default();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    /// Permission bits, those of the kernel's own file.
    #[must_use]
    pub(crate) const fn mode(self) -> u32 {
        match self {
            Self::SlabInfo => 0o400,
            _ => 0o444,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_files_share_a_name() {
        let names: HashSet<_> = ViewFile::ALL.into_iter().map(ViewFile::name).collect();
        assert_eq!(names.len(), ViewFile::ALL.len());
        assert!(names.contains("meminfo") && names.contains("online"), "{names:?}");
    }
}
