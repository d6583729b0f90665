//! `linux.resources` of the OCI runtime specification to [`Limits`]. Pure: nothing is read or written, so that a bad
//! request is refused before anything of the container exists.
//!
//! Zero stands for "not set" where the field's other implementations read it so, because engines send it.

use oci_spec::runtime::{LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources};

use crate::error::{Error, Result};
use crate::limits::convert::cpu_weight_from_shares;
use crate::limits::{
    CpuLimits, CpusetLimits, HugetlbLimit, Limit, Limits, MemoryLimits, RdmaLimit, UnifiedFile, block_io,
};

impl Limits {
    /// Reads and checks everything of `linux.resources` but the devices, see [`crate::DevicePolicy`].
    ///
    /// # Errors
    /// [`Error::UnsupportedResource`] for what cgroup v2 does not have, [`Error::InvalidResource`] for a value
    /// that cannot be meant. Both name the resource.
    pub fn from_oci(resources: &LinuxResources) -> Result<Self> {
        refuse_network(resources)?;
        let mut limits = Self::default();
        if let Some(cpu) = resources.cpu() {
            limits.cpu = cpu_limits(cpu)?;
            limits.cpuset = CpusetLimits {
                cpus: cpuset_list("cpu.cpus", cpu.cpus().as_deref())?,
                mems: cpuset_list("cpu.mems", cpu.mems().as_deref())?,
            };
        }
        if let Some(memory) = resources.memory() {
            limits.memory = memory_limits(memory)?;
        }
        // No process at all cannot be meant by 0, and systemd, which may own the cgroup, refuses it.
        limits.pids = resources.pids().map(|pids| match u64::try_from(pids.limit()) {
            Ok(count) => Limit::At(count.max(1)),
            Err(_) => Limit::Unlimited,
        });
        if let Some(block_io) = resources.block_io() {
            limits.io = block_io::from_oci(block_io)?;
        }
        for limit in resources.hugepage_limits().iter().flatten() {
            limits.hugetlb.push(hugetlb_limit(limit)?);
        }
        for (device, limit) in resources.rdma().iter().flatten() {
            if device.is_empty() || device.contains(|c: char| c.is_ascii_whitespace() || c == '\0') {
                return Err(Error::invalid("rdma", format!("{device:?}"), "is not the name of a device"));
            }
            limits.rdma.push(RdmaLimit {
                device: device.clone(),
                hca_handles: limit.hca_handles(),
                hca_objects: limit.hca_objects(),
            });
        }
        for (name, value) in resources.unified().iter().flatten() {
            limits.unified.push(UnifiedFile::new(name, value)?);
        }
        // The specification's maps have no order; the same bundle is to be applied the same way every time.
        limits.rdma.sort_by(|a, b| a.device.cmp(&b.device));
        limits.unified.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.name.cmp(&b.name)));
        Ok(limits)
    }
}

fn refuse_network(resources: &LinuxResources) -> Result<()> {
    let Some(network) = resources.network() else { return Ok(()) };
    if network.class_id().is_some_and(|id| id != 0) {
        return Err(Error::UnsupportedResource { resource: "network.classID" });
    }
    if network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty()) {
        return Err(Error::UnsupportedResource { resource: "network.priorities" });
    }
    Ok(())
}

fn cpu_limits(cpu: &LinuxCpu) -> Result<CpuLimits> {
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0) {
        return Err(Error::UnsupportedResource { resource: "cpu.realtimeRuntime" });
    }
    if cpu.realtime_period().is_some_and(|period| period != 0) {
        return Err(Error::UnsupportedResource { resource: "cpu.realtimePeriod" });
    }
    let idle = match cpu.idle() {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => return Err(Error::invalid("cpu.idle", other, "is neither 0 nor 1")),
    };
    let quota = match cpu.quota() {
        None | Some(0) => None,
        Some(quota) => Some(u64::try_from(quota).map_or(Limit::Unlimited, Limit::At)),
    };
    Ok(CpuLimits {
        weight: cpu.shares().and_then(cpu_weight_from_shares),
        idle,
        quota,
        period: cpu.period().filter(|period| *period != 0),
        burst: cpu.burst(),
    })
}

/// Accepts the kernel's list form (`0-3,7`) and leaves the numbers to the kernel, which knows how many there are.
fn cpuset_list(resource: &'static str, list: Option<&str>) -> Result<Option<String>> {
    let list = list.unwrap_or_default().trim();
    if list.is_empty() {
        return Ok(None);
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_range = |range: &str| match range.split_once('-') {
        Some((first, last)) => is_number(first) && is_number(last),
        None => is_number(range),
    };
    if list.split(',').all(|range| is_range(range.trim())) {
        Ok(Some(list.to_owned()))
    } else {
        Err(Error::invalid(resource, list, "is not a list of numbers and ranges, as in 0-3,7"))
    }
}

fn memory_limits(memory: &LinuxMemory) -> Result<MemoryLimits> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    for (resource, value) in
        [("memory.kernel", set(memory.kernel())), ("memory.kernelTCP", set(memory.kernel_tcp()))]
    {
        // "No limit" is what there is.
        if value.is_some_and(|value| value > 0) {
            return Err(Error::UnsupportedResource { resource });
        }
    }
    if memory.swappiness().is_some() {
        return Err(Error::UnsupportedResource { resource: "memory.swappiness" });
    }
    if memory.disable_oom_killer() == Some(true) {
        return Err(Error::UnsupportedResource { resource: "memory.disableOOMKiller" });
    }
    if memory.use_hierarchy() == Some(false) {
        return Err(Error::UnsupportedResource { resource: "memory.useHierarchy = false" });
    }
    let max = set(memory.limit()).map(|value| bytes("memory.limit", value)).transpose()?;
    Ok(MemoryLimits {
        max,
        min: None,
        high: None,
        oom_group: None,
        low: memory.reservation().map(|value| bytes("memory.reservation", value)).transpose()?,
        swap_max: swap_limit(max, set(memory.swap()))?,
        check_before_update: memory.check_before_update() == Some(true),
    })
}

/// -1 stands for no limit.
fn bytes(resource: &'static str, value: i64) -> Result<Limit> {
    match value {
        -1 => Ok(Limit::Unlimited),
        value => u64::try_from(value)
            .map(Limit::At)
            .map_err(|_| Error::invalid(resource, value, "is neither a number of bytes nor -1")),
    }
}

/// The specification limits memory and swap together (`memory.memsw` of cgroup v1), cgroup v2 limits swap alone.
fn swap_limit(max: Option<Limit>, swap: Option<i64>) -> Result<Option<Limit>> {
    let Some(swap) = swap else {
        // Memory without a limit has always meant swap without one.
        return Ok(max.filter(|max| *max == Limit::Unlimited));
    };
    let total = bytes("memory.swap", swap)?;
    match (total, max) {
        (Limit::Unlimited, _) => Ok(Some(Limit::Unlimited)),
        (total, Some(Limit::Unlimited)) => Ok(Some(total)),
        (Limit::At(total), Some(Limit::At(max))) => match total.checked_sub(max) {
            Some(alone) => Ok(Some(Limit::At(alone))),
            None => Err(Error::invalid("memory.swap", swap, "is less than memory.limit, which it includes")),
        },
        (_, None) => Err(Error::invalid("memory.swap", swap, "includes memory.limit, which is not set")),
    }
}

fn hugetlb_limit(limit: &LinuxHugepageLimit) -> Result<HugetlbLimit> {
    let page_size = limit.page_size();
    let digits = page_size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = page_size.get(digits.len()..).unwrap_or_default();
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || !["KB", "MB", "GB"].contains(&unit)
    {
        return Err(Error::invalid("hugepageLimits.pageSize", page_size, "is not a page size, as in 2MB"));
    }
    Ok(HugetlbLimit { page_size: page_size.clone(), max: bytes("hugepageLimits.limit", limit.limit())? })
}

#[cfg(test)]
mod tests;
