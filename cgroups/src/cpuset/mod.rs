//! Narrowing a cgroup to as many CPUs as its quota is worth, so that `sched_getaffinity(2)` agrees with it.
//!
//! Nothing is remembered but what the kernel has: the choice is made from what the other containers' `cpuset.cpus` hold, under
//! a lock of the node. Knows no container and no quota.

mod choice;
mod topology;

pub use topology::CpuTopology;

use std::path::Path;

use crate::cgroup::Cgroup;
use crate::cpu_list::CpuList;
use crate::error::{Error, Result};
use crate::limits::{CpusetLimits, Limits};
use crate::memory_qos::LevelsLock;
use crate::path::CgroupPath;
use choice::{Taken, choose};

/// A decision about a cgroup's CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Narrowing {
    /// It runs on these alone.
    To(CpuList),
    /// It runs on all that it may.
    None,
}

impl Cgroup {
    /// Lets it run on `count` CPUs at most, of those that the cgroups above it leave it and, where it was given a list of
    /// its own, that are in `given`; where the containers at the `others` run least. `count` is told how many it may choose from.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] without the cpuset controller, and what the kernel or systemd refuses.
    pub fn narrow(
        &self,
        count: impl FnOnce(u32) -> u32,
        given: Option<&CpuList>,
        others: &[CgroupPath],
        topology: &CpuTopology,
        _lock: &LevelsLock,
    ) -> Result<Narrowing> {
        // Also what says that there is no such controller.
        let current = parse(&self.read("cpuset.cpus")?);
        let above = self.directory.open_parent()?;
        let effective = above.read("cpuset.cpus.effective")?;
        let all = CpuList::parse(&effective).ok_or_else(|| {
            Error::format(&above.path().join("cpuset.cpus.effective"), "list of CPUs", &effective)
        })?;
        // A list none of which is there is as good as none, to the kernel as well.
        let given = given.map(|given| given.common_with(&all)).filter(|given| !given.is_empty());
        let is_given = given.is_some();
        let allowed = given.unwrap_or(all);
        let count = count(allowed.len());
        let decision = if count < allowed.len() {
            let taken = self.taken_by(others);
            Narrowing::To(choose(&allowed, count.max(1), &current, &taken, topology))
        } else if is_given {
            Narrowing::To(allowed.clone())
        } else {
            Narrowing::None
        };
        match &decision {
            Narrowing::To(cpus) if *cpus == current => {}
            Narrowing::None if current.is_empty() || current == allowed => {}
            Narrowing::To(cpus) => self.set_cpus(cpus.to_string())?,
            // An empty list is refused where there are processes (`ENOSPC`), and there are: it was narrowed before.
            Narrowing::None => self.set_cpus(allowed.to_string())?,
        }
        Ok(decision)
    }

    fn set_cpus(&self, cpus: String) -> Result<()> {
        let cpuset = CpusetLimits { cpus: Some(cpus), mems: None };
        self.update(&Limits { cpuset, ..Limits::default() })
    }

    /// What the others have. One that is gone, or has no such file, is on none in particular.
    fn taken_by(&self, others: &[CgroupPath]) -> Taken {
        let mut taken = Taken::default();
        for other in others.iter().filter(|other| **other != self.path) {
            let directory = self.hierarchy.root().open_below(other.relative());
            if let Ok(content) = directory.and_then(|directory| directory.read("cpuset.cpus")) {
                taken.add(&parse(&content));
            }
        }
        taken
    }
}

/// A list that may be empty.
fn parse(content: &str) -> CpuList {
    CpuList::parse(content).unwrap_or_default()
}

impl CpuTopology {
    /// That of this machine.
    #[must_use]
    pub fn of_machine() -> Self {
        let directory = Path::new("/sys/devices/system/cpu");
        // Where that cannot be read, every CPU counts as a core.
        let online = std::fs::read_to_string(directory.join("online")).unwrap_or_default();
        Self::read(directory, &parse(&online))
    }
}

#[cfg(test)]
mod tests;
