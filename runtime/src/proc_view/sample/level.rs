//! One cgroup of a container's line of ancestors: what it bounds and what it uses.

use super::SampleError;
use crate::proc_view::figures::{CpuQuota, Keyed, MemoryLevel};
use ballast_cgroups::{Ancestor, CgroupFile};

/// The open files of one cgroup; those that it does not have are not asked for again.
#[derive(Debug)]
pub(super) struct Level {
    memory: Option<MemoryFiles>,
    cpu_max: Option<CgroupFile>,
    huge_pages_max: Option<CgroupFile>,
}

#[derive(Debug)]
struct MemoryFiles {
    current: CgroupFile,
    max: CgroupFile,
    high: CgroupFile,
    stat: CgroupFile,
    swap: Option<SwapFiles>,
}

#[derive(Debug)]
struct SwapFiles {
    current: CgroupFile,
    max: CgroupFile,
}

impl Level {
    pub(super) fn open(cgroup: &Ancestor, huge_page_bytes: u64) -> Result<Self, SampleError> {
        let file = |name| cgroup.file(name);
        let memory = match (
            file("memory.current")?,
            file("memory.max")?,
            file("memory.high")?,
            file("memory.stat")?,
        ) {
            (Some(current), Some(max), Some(high), Some(stat)) => {
                let swap = match (file("memory.swap.current")?, file("memory.swap.max")?) {
                    (Some(current), Some(max)) => Some(SwapFiles { current, max }),
                    _ => None,
                };
                Some(MemoryFiles { current, max, high, stat, swap })
            }
            // The root of the hierarchy has none of them.
            _ => None,
        };
        let huge_pages_max = cgroup.file(&huge_page_file(huge_page_bytes, "max"))?;
        Ok(Self { memory, cpu_max: file("cpu.max")?, huge_pages_max })
    }

    /// Bounds and use of memory; `None` without the controller. Use is not read where there is no bound for it to be within.
    pub(super) fn memory(&self, scratch: &mut Vec<u8>) -> Result<Option<MemoryLevel>, SampleError> {
        let Some(files) = &self.memory else { return Ok(None) };
        let mut level = files.bounds(scratch)?;
        if level.swap_max != u64::MAX {
            level.swap_usage = files.swap_usage(scratch)?;
        }
        if level.max.min(level.high) != u64::MAX {
            files.read_usage(&mut level, scratch)?;
        }
        Ok(Some(level))
    }

    /// As [`Self::memory`] with all of the use; `content` is left with `memory.stat`.
    pub(super) fn memory_in_full(&self, content: &mut Vec<u8>) -> Result<Option<MemoryLevel>, SampleError> {
        let Some(files) = &self.memory else { return Ok(None) };
        let mut level = files.bounds(content)?;
        level.swap_usage = files.swap_usage(content)?;
        files.read_usage(&mut level, content)?;
        Ok(Some(level))
    }

    pub(super) fn cpu_quota(&self, scratch: &mut Vec<u8>) -> Result<Option<CpuQuota>, SampleError> {
        match &self.cpu_max {
            Some(file) => Ok(CpuQuota::parse(file.read(scratch)?)),
            None => Ok(None),
        }
    }

    /// In bytes.
    pub(super) fn huge_pages_max(&self, scratch: &mut Vec<u8>) -> Result<u64, SampleError> {
        self.huge_pages_max.as_ref().map_or(Ok(u64::MAX), |file| bound(file, scratch))
    }
}

impl MemoryFiles {
    fn bounds(&self, scratch: &mut Vec<u8>) -> Result<MemoryLevel, SampleError> {
        Ok(MemoryLevel {
            max: bound(&self.max, scratch)?,
            high: bound(&self.high, scratch)?,
            // A kernel without swap accounting bounds nothing, and tells nothing of use: none is shown.
            swap_max: self.swap.as_ref().map_or(Ok(0), |swap| bound(&swap.max, scratch))?,
            ..MemoryLevel::UNBOUNDED
        })
    }

    fn swap_usage(&self, scratch: &mut Vec<u8>) -> Result<u64, SampleError> {
        self.swap.as_ref().map_or(Ok(0), |swap| bound(&swap.current, scratch))
    }

    /// Reads `memory.stat` last.
    fn read_usage(&self, level: &mut MemoryLevel, content: &mut Vec<u8>) -> Result<(), SampleError> {
        level.usage = bound(&self.current, content)?;
        level.reclaimable = MemoryLevel::reclaimable_of(&Keyed::parse(self.stat.read(content)?));
        Ok(())
    }
}

/// A number, or `max`.
fn bound(file: &CgroupFile, scratch: &mut Vec<u8>) -> Result<u64, SampleError> {
    Ok(file.read(scratch)?.trim_end().parse().unwrap_or(u64::MAX))
}

/// The name of a file of the hugetlb controller (Linux `mm/hugetlb_cgroup.c`: the size in the greatest whole unit).
pub(super) fn huge_page_file(page_bytes: u64, suffix: &str) -> String {
    let (size, unit) = match page_bytes {
        bytes if bytes >= 1 << 30 => (bytes >> 30, "GB"),
        bytes if bytes >= 1 << 20 => (bytes >> 20, "MB"),
        bytes => (bytes >> 10, "KB"),
    };
    format!("hugetlb.{size}{unit}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_huge_pages_are_named_as_the_kernel_does() {
        for (bytes, name) in
            [(2 << 20, "hugetlb.2MB.max"), (1 << 30, "hugetlb.1GB.max"), (64 << 10, "hugetlb.64KB.max")]
        {
            assert_eq!(huge_page_file(bytes, "max"), name);
        }
    }
}
