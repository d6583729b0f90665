//! What an update is about to replace, so that one that the kernel refuses half-way leaves nothing of itself.

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::limits::{CpuLimits, CpusetLimits, Limit, Limits, MemoryLimits, UnifiedFile};

impl Cgroup {
    /// The values that `limits` would replace. Files with a line per device (`io.max`, `rdma.max`) are left out, and so is what
    /// this kernel does not have.
    pub(super) fn in_force(&self, limits: &Limits) -> Result<Limits> {
        let (cpu, memory) = (&limits.cpu, &limits.memory);
        let limit = |wanted: bool, file: &str| -> Result<Option<Limit>> {
            let content = self.content(wanted, file)?;
            Ok(content.and_then(|content| parse(&content)))
        };
        let number = |wanted: bool, file: &str| -> Result<Option<u64>> {
            Ok(self.content(wanted, file)?.and_then(|content| content.parse().ok()))
        };
        let max = self.content(cpu.quota.is_some() || cpu.period.is_some(), "cpu.max")?;
        let max = max.as_deref().and_then(|content| content.split_once(' '));
        let mut unified = Vec::new();
        for file in &limits.unified {
            let content = self.content(true, &file.name)?;
            let single_line = |content: &String| !content.is_empty() && !content.contains('\n');
            let value = content.filter(single_line);
            unified.extend(value.map(|value| UnifiedFile { name: file.name.clone(), value }));
        }
        Ok(Limits {
            cpu: CpuLimits {
                weight: number(cpu.weight.is_some(), "cpu.weight")?.filter(|weight| *weight > 0),
                idle: number(cpu.idle.is_some(), "cpu.idle")?.map(|idle| idle != 0),
                quota: max.and_then(|(quota, _)| parse(quota)),
                period: max.and_then(|(_, period)| period.parse().ok()),
                // An update of both begins without a burst.
                burst: number(cpu.burst.is_some(), "cpu.max.burst")?,
            },
            cpuset: CpusetLimits {
                cpus: self.content(limits.cpuset.cpus.is_some(), "cpuset.cpus")?,
                mems: self.content(limits.cpuset.mems.is_some(), "cpuset.mems")?,
            },
            memory: MemoryLimits {
                max: limit(memory.max.is_some(), "memory.max")?,
                high: limit(memory.high.is_some(), "memory.high")?,
                min: limit(memory.min.is_some(), "memory.min")?,
                oom_group: number(memory.oom_group.is_some(), "memory.oom.group")?.map(|group| group != 0),
                low: limit(memory.low.is_some(), "memory.low")?,
                swap_max: limit(memory.swap_max.is_some(), "memory.swap.max")?,
                check_before_update: false,
            },
            pids: limit(limits.pids.is_some(), "pids.max")?,
            unified,
            ..Limits::default()
        })
    }

    fn content(&self, wanted: bool, file: &str) -> Result<Option<String>> {
        if !wanted {
            return Ok(None);
        }
        match self.read(file) {
            Ok(content) => Ok(Some(content.trim_end().to_owned())),
            Err(Error::FileMissing { .. } | Error::ControllerMissing { .. }) => Ok(None),
            // A file that can only be written.
            Err(error) if error.errno().is_some() && !error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse(content: &str) -> Option<Limit> {
    match content {
        "max" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::At),
    }
}
