//! A container's texts at one moment: reads its cgroup, the ones above it and the host's files, and has them rendered.
//!
//! All files are opened once and read with one `pread` each. What a read costs: `meminfo` and `swaps` the host's `meminfo`,
//! the container's `memory.stat`, three bounds of each cgroup up to the root and, of those that are bounded, use and
//! `memory.stat`; `stat`, `cpuinfo`, `uptime` and the CPU lists one bound of each, the cpuset and `cpu.stat`. Must not know who asks.

mod clocks;
mod host;
mod level;

use super::ViewFile;
use super::figures::{
    CpuClock, CpuList, CpuSample, CpuShare, HostMemory, Keyed, LoadAverage, Memory, Rounding,
};
use super::render::{self, BlockIo, HugePages, Stat};
use ballast_cgroups::{Ancestor, CgroupFile};
pub(crate) use clocks::Epoch;
use clocks::Now;
pub(crate) use host::HostFiles;
use level::Level;
use rustix::io::Errno;

/// Why a text could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// A file of a cgroup.
    #[error(transparent)]
    Cgroup(#[from] ballast_cgroups::Error),
    /// A file of the host.
    #[error("read {path:?}")]
    Host {
        /// The file.
        path: &'static std::ffi::CStr,
        /// The cause.
        #[source]
        errno: Errno,
    },
    /// The cgroup has no such file, so its controller is not enabled.
    #[error("the container's cgroup has no {0}")]
    Missing(&'static str),
    /// The host's text is of no known layout.
    #[error("{0:?} has an unknown layout")]
    Layout(&'static std::ffi::CStr),
}

/// What a sampler is made of, and when the container's counters began. Most containers are never asked for a text, so
/// their files are opened with the first.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The container's cgroup first, then the ones above it.
    lineage: Vec<Ancestor>,
    rounding: Rounding,
    epoch: Epoch,
    began_usec: u64,
}

impl Origin {
    /// A container that begins now.
    pub(crate) fn now(lineage: Vec<Ancestor>, rounding: Rounding, epoch: Epoch) -> Self {
        Self { lineage, rounding, epoch, began_usec: Now::read().monotonic_usec }
    }
}

/// Makes the texts of one container.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The container's cgroup first, then the ones above it.
    levels: Vec<Level>,
    own: OwnFiles,
    host: HostFiles,
    rounding: Rounding,
    epoch: Epoch,
    clock: CpuClock,
    load: LoadAverage,
    page_bytes: u64,
    /// For what is parsed at once.
    scratch: Vec<u8>,
    /// The container's `memory.stat`, of the last look at the memory.
    memory_stat: Vec<u8>,
    /// The host's text, while the container's is made of it.
    template: Vec<u8>,
}

/// Files of the container's own cgroup alone.
#[derive(Debug)]
struct OwnFiles {
    cpu_stat: Option<CgroupFile>,
    cpu_pressure: Option<CgroupFile>,
    cpuset: Option<CgroupFile>,
    io_stat: Option<CgroupFile>,
    pids: Option<CgroupFile>,
    huge_pages: Option<(CgroupFile, u64)>,
}

impl Sampler {
    /// Opens what is read later.
    pub(crate) fn open(origin: &Origin) -> Result<Self, SampleError> {
        let lineage = &origin.lineage;
        let own = lineage.first().ok_or(SampleError::Missing("directory"))?;
        let mut host = HostFiles::default();
        let mut scratch = Vec::new();
        let huge_page_bytes = Keyed::parse(host.read(ViewFile::MemInfo, &mut scratch)?)
            .get("Hugepagesize")
            .saturating_mul(1024);
        let own = OwnFiles {
            cpu_stat: own.file("cpu.stat")?,
            cpu_pressure: own.file("cpu.pressure")?,
            cpuset: own.file("cpuset.cpus.effective")?,
            io_stat: own.file("io.stat")?,
            pids: own.file("pids.current")?,
            huge_pages: own
                .file(&level::huge_page_file(huge_page_bytes, "current"))?
                .map(|file| (file, huge_page_bytes)),
        };
        let levels = lineage
            .iter()
            .map(|ancestor| Level::open(ancestor, huge_page_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            levels,
            own,
            host,
            rounding: origin.rounding,
            epoch: origin.epoch,
            clock: CpuClock::starting(origin.began_usec),
            load: LoadAverage::starting(origin.began_usec),
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
            scratch,
            memory_stat: Vec::new(),
            template: Vec::new(),
        })
    }

    /// Writes a text at the end of `out`; on failure `out` may have gained part of it.
    pub(crate) fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), SampleError> {
        match file {
            ViewFile::MemInfo => self.write_meminfo(out),
            ViewFile::VmStat => self.write_vmstat(out),
            ViewFile::Swaps => {
                let memory = self.memory()?;
                render::swaps(out, &memory);
                Ok(())
            }
            ViewFile::CpuInfo => self.write_cpuinfo(out),
            ViewFile::Stat => self.write_stat(out),
            ViewFile::Uptime => self.write_uptime(out),
            ViewFile::LoadAverage => self.write_loadavg(out),
            ViewFile::DiskStats => self.write_diskstats(out),
            ViewFile::SlabInfo => {
                render::slabinfo(out);
                Ok(())
            }
            ViewFile::CpusOnline | ViewFile::CpusPossible | ViewFile::CpusPresent => {
                let (_, share) = self.cpus()?;
                render::cpu_range(out, share.count);
                Ok(())
            }
            ViewFile::CpusOffline => {
                render::no_cpus(out);
                Ok(())
            }
        }
    }

    fn write_meminfo(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let memory = self.memory()?;
        let huge_pages = self.huge_pages()?;
        let stat = Keyed::parse(text(&self.memory_stat));
        render::meminfo(out, text(&self.template), &memory, &stat, huge_pages);
        Ok(())
    }

    fn write_vmstat(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let memory = self.memory()?;
        let io = match &self.own.io_stat {
            Some(file) => BlockIo::parse(file.read(&mut self.scratch)?),
            None => Vec::new(),
        };
        let stat = Keyed::parse(text(&self.memory_stat));
        let host = self.host.read(ViewFile::VmStat, &mut self.template)?;
        render::vmstat(out, host, &memory, &stat, &io, self.page_bytes);
        Ok(())
    }

    fn write_cpuinfo(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let (allowed, share) = self.cpus()?;
        let host = self.host.read(ViewFile::CpuInfo, &mut self.template)?;
        if render::cpuinfo(out, host, &allowed, share.count) {
            Ok(())
        } else {
            Err(SampleError::Layout(ViewFile::CpuInfo.path()))
        }
    }

    fn write_stat(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let (now, share) = self.advance_clock()?;
        let booted_s = self.epoch.booted_s(now);
        render::stat(out, &Stat { clock: &self.clock, share, booted_s, running: 1 });
        Ok(())
    }

    fn write_uptime(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let (now, _) = self.advance_clock()?;
        render::uptime(out, self.epoch.uptime_usec(now), self.clock.total().idle_usec);
        Ok(())
    }

    fn write_loadavg(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let used = {
            let stat = self.own.cpu_stat.as_ref().ok_or(SampleError::Missing("cpu.stat"))?;
            Keyed::parse(stat.read(&mut self.scratch)?).get("usage_usec")
        };
        let waited = match &self.own.cpu_pressure {
            // A kernel that was booted with psi=0 has the file and refuses to read it.
            Some(file) => file.read(&mut self.scratch).map_or(0, some_total_usec),
            None => 0,
        };
        let tasks = match &self.own.pids {
            Some(file) => file.read(&mut self.scratch)?.trim_end().parse().unwrap_or(1),
            None => 1,
        };
        self.load.advance(Now::read().monotonic_usec, used, waited);
        render::loadavg(out, self.load.hundredths(), 1, tasks);
        Ok(())
    }

    fn write_diskstats(&mut self, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let file = self.own.io_stat.as_ref().ok_or(SampleError::Missing("io.stat"))?;
        let devices = BlockIo::parse(file.read(&mut self.scratch)?);
        let host = self.host.read(ViewFile::DiskStats, &mut self.template)?;
        render::diskstats(out, host, &devices);
        Ok(())
    }

    /// Leaves the host's `meminfo` in `template` and the container's `memory.stat` in its place.
    fn memory(&mut self) -> Result<Memory, SampleError> {
        let host = self.host.read(ViewFile::MemInfo, &mut self.template)?;
        let host = HostMemory::of(&Keyed::parse(host));
        let (own, above) = self.levels.split_first().ok_or(SampleError::Missing("directory"))?;
        let mut levels = Vec::with_capacity(1 + above.len());
        levels
            .push(own.memory_in_full(&mut self.memory_stat)?.ok_or(SampleError::Missing("memory.current"))?);
        for level in above {
            levels.extend(level.memory(&mut self.scratch)?);
        }
        Ok(Memory::of(&host, &levels))
    }

    fn huge_pages(&mut self) -> Result<Option<HugePages>, SampleError> {
        let Some((current, page_bytes)) = &self.own.huge_pages else { return Ok(None) };
        let bytes: u64 = current.read(&mut self.scratch)?.trim_end().parse().unwrap_or_default();
        let mut max = u64::MAX;
        for level in &self.levels {
            max = max.min(level.huge_pages_max(&mut self.scratch)?);
        }
        let pages = |bytes| bytes / (*page_bytes).max(1);
        Ok(Some(HugePages { max: pages(max), used: pages(bytes) }))
    }

    /// The CPUs of the host that the container may run on, and its share of them.
    pub(crate) fn cpus(&mut self) -> Result<(CpuList, CpuShare), SampleError> {
        let online = self.host.read(ViewFile::CpusOnline, &mut self.scratch)?;
        let online = CpuList::parse(online).ok_or(SampleError::Layout(ViewFile::CpusOnline.path()))?;
        // What was asked for (`cpuset.cpus`) can be wider than what there is.
        let allowed = match &self.own.cpuset {
            Some(file) => CpuList::parse(file.read(&mut self.scratch)?).unwrap_or_else(|| online.clone()),
            None => online.clone(),
        };
        let mut quotas = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            quotas.extend(level.cpu_quota(&mut self.scratch)?);
        }
        let share = CpuShare::new(allowed.common(&online), quotas, self.rounding);
        Ok((allowed, share))
    }

    fn advance_clock(&mut self) -> Result<(Now, CpuShare), SampleError> {
        let (_, share) = self.cpus()?;
        let file = self.own.cpu_stat.as_ref().ok_or(SampleError::Missing("cpu.stat"))?;
        let stat = Keyed::parse(file.read(&mut self.scratch)?);
        let now = Now::read();
        let nice_usec = stat.get("nice_usec");
        let sample = CpuSample {
            now_usec: now.monotonic_usec,
            user_usec: stat.get("user_usec").saturating_sub(nice_usec),
            nice_usec,
            system_usec: stat.get("system_usec"),
        };
        self.clock.advance(sample, share);
        Ok((now, share))
    }
}

/// What was checked to be text when it was read.
fn text(content: &[u8]) -> &str {
    std::str::from_utf8(content).unwrap_or_default()
}

/// `total` of the line `some` of a pressure file.
fn some_total_usec(pressure: &str) -> u64 {
    let some = pressure.lines().find(|line| line.starts_with("some "));
    let total = some.and_then(|line| line.rsplit_once("total=")).map(|(_, total)| total.trim_end());
    total.and_then(|total| total.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
