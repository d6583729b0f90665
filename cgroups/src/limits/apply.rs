//! Writing [`Limits`] to the files of a cgroup, in an order that the kernel accepts. What each file means: kernel
//! documentation, "Control Group v2".

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::limits::convert::io_weight;
use crate::limits::{CpuLimits, IoLimits, Limit, Limits, MemoryLimits};

impl Cgroup {
    /// Gives a new cgroup its limits.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] or [`Error::FileMissing`] for a limit that this cgroup cannot have,
    /// [`Error::Write`] for one that the kernel refuses.
    pub fn apply(&self, limits: &Limits) -> Result<()> {
        self.write_limits(limits)
    }

    /// Changes the limits of a cgroup in use; what is not set in `limits` stays as it is.
    ///
    /// A lower memory limit makes the kernel reclaim during this call, so it can take seconds.
    ///
    /// # Errors
    /// As [`Self::apply`], and [`Error::MemoryInUse`] when `checkBeforeUpdate` asks for it. Then the limits
    /// are as before, except for those of single devices; where even that failed, [`Error::NotRestored`].
    pub fn update(&self, limits: &Limits) -> Result<()> {
        if limits.memory.check_before_update {
            self.refuse_limit_in_use(&limits.memory)?;
        }
        let before = self.in_force(limits)?;
        self.replace(limits).map_err(|refused| match self.replace(&before) {
            Ok(()) => refused,
            Err(left) => Error::NotRestored { refused: Box::new(refused), left: left.to_string() },
        })
    }

    fn replace(&self, limits: &Limits) -> Result<()> {
        if let Some(scope) = &self.scope {
            scope.update(limits)?;
        }
        if limits.cpu.burst.is_some() && limits.cpu.quota.is_some() {
            // The kernel refuses a quota below the burst, and a burst above the quota. No burst always fits.
            optional(self.write("cpu.max.burst", "0"))?;
        }
        self.write_limits(limits)
    }

    fn write_limits(&self, limits: &Limits) -> Result<()> {
        if let Some(pids) = limits.pids {
            self.write("pids.max", &pids.to_string())?;
        }
        self.write_memory(&limits.memory)?;
        self.write_io(&limits.io)?;
        self.write_cpu(&limits.cpu)?;
        for (file, list) in [("cpuset.cpus", &limits.cpuset.cpus), ("cpuset.mems", &limits.cpuset.mems)] {
            if let Some(list) = list {
                self.write(file, list)?;
            }
        }
        for limit in &limits.hugetlb {
            let value = limit.max.to_string();
            self.write(&format!("hugetlb.{}.max", limit.page_size), &value)?;
            // Reservations have a file of their own since Linux 5.7; before, they are limited by the first one.
            optional(self.write(&format!("hugetlb.{}.rsvd.max", limit.page_size), &value))?;
        }
        for limit in &limits.rdma {
            let mut line = limit.device.clone();
            for (key, value) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
                if let Some(value) = value {
                    line.push_str(&format!(" {key}={value}"));
                }
            }
            self.write("rdma.max", &line)?;
        }
        for file in &limits.unified {
            for line in file.lines() {
                self.write(&file.name, line)?;
            }
        }
        Ok(())
    }

    /// In the order of `unified::MEMORY_FILES`, which says why.
    fn write_memory(&self, memory: &MemoryLimits) -> Result<()> {
        if let Some(swap) = memory.swap_max {
            match self.write("memory.swap.max", &swap.to_string()) {
                // A kernel without swap accounting has no swap to forbid or to allow without limit.
                Err(Error::FileMissing { .. }) if matches!(swap, Limit::At(0) | Limit::Unlimited) => {}
                other => other?,
            }
        }
        if let Some(group) = memory.oom_group {
            self.write("memory.oom.group", if group { "1" } else { "0" })?;
        }
        let sizes = [
            ("memory.min", memory.min),
            ("memory.low", memory.low),
            ("memory.high", memory.high),
            ("memory.max", memory.max),
        ];
        for (file, limit) in sizes {
            if let Some(limit) = limit {
                self.write(file, &limit.to_string())?;
            }
        }
        Ok(())
    }

    fn write_cpu(&self, cpu: &CpuLimits) -> Result<()> {
        // The kernel refuses a weight while the cgroup is idle.
        if cpu.idle == Some(false) {
            // Before Linux 5.15 no cgroup is ever idle.
            optional(self.write("cpu.idle", "0"))?;
        }
        if let Some(weight) = cpu.weight {
            self.write("cpu.weight", &weight.to_string())?;
        }
        if cpu.idle == Some(true) {
            self.write("cpu.idle", "1")?;
        }
        match (cpu.quota, cpu.period) {
            // Without a second value the kernel keeps the period.
            (Some(quota), None) => self.write("cpu.max", &quota.to_string())?,
            (Some(quota), Some(period)) => self.write("cpu.max", &format!("{quota} {period}"))?,
            (None, Some(period)) => {
                let current = self.read("cpu.max")?;
                let quota = current.split_ascii_whitespace().next().unwrap_or("max");
                self.write("cpu.max", &format!("{quota} {period}"))?;
            }
            (None, None) => {}
        }
        if let Some(burst) = cpu.burst {
            match self.write("cpu.max.burst", &burst.to_string()) {
                // Before Linux 5.14 no cgroup ever bursts.
                Err(Error::FileMissing { .. }) if burst == 0 => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn write_io(&self, io: &IoLimits) -> Result<()> {
        let lines = io
            .weight
            .map(|weight| (None, weight))
            .into_iter()
            .chain(io.device_weights.iter().map(|(device, weight)| (Some(device), *weight)));
        for (device, weight) in lines {
            let key = device.map_or_else(|| "default".to_owned(), ToString::to_string);
            // BFQ has its own file and the cost model another. Which one counts depends on the scheduler that a
            // device has at the time, so both get the weight, and one of them must be there.
            let bfq = self.write("io.bfq.weight", &format!("{key} {weight}"));
            let cost = self.write("io.weight", &format!("{key} {}", io_weight(weight)));
            match (bfq, cost) {
                (Err(Error::FileMissing { .. }), cost) => cost?,
                (bfq, cost) => {
                    bfq?;
                    optional(cost)?;
                }
            }
        }
        for throttle in &io.throttles {
            let mut line = throttle.device.to_string();
            for (key, rate) in &throttle.rates {
                line.push_str(&format!(" {key}={rate}"));
            }
            self.write("io.max", &line)?;
        }
        Ok(())
    }

    fn refuse_limit_in_use(&self, memory: &MemoryLimits) -> Result<()> {
        let Some(Limit::At(limit)) = memory.max else { return Ok(()) };
        let content = self.read("memory.current")?;
        let usage = content
            .trim()
            .parse()
            .map_err(|_| Error::format(&self.directory_path().join("memory.current"), "number", &content))?;
        if limit < usage {
            return Err(Error::MemoryInUse { limit, usage, cgroup: self.directory_path().to_owned() });
        }
        Ok(())
    }
}

/// Accepts that the kernel does not have a file.
fn optional(written: Result<()>) -> Result<()> {
    match written {
        Err(Error::FileMissing { .. }) => Ok(()),
        other => other,
    }
}
