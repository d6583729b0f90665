//! Reading statistics over and over at little cost: each file is opened once, read from its start into one buffer, and
//! a file that this kernel or cgroup does not have is not asked for again.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, retry_on_intr};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::statistics::{
    HugetlbStatistics, MemoryEvents, MemoryStatistics, PidsStatistics, Pressure, RdmaStatistics, Statistics,
    parse,
};

/// Holds any of the files on most machines; it grows where it does not.
const BUFFER_BYTES: usize = 4096;

/// Reads [`Statistics`] of one cgroup.
///
/// The descriptors outlive the processes and the directory's name, but not the cgroup: once that is removed, reading
/// fails with [`Kind::NotFound`](crate::Kind::NotFound). Which files there are is looked at once, when it is made, so
/// make it when the cgroup has its controllers.
#[derive(Debug)]
pub struct StatisticsReader {
    directory: PathBuf,
    pids: Option<[File; 2]>,
    cpu: Option<File>,
    cpu_pressure: Option<File>,
    memory: Option<MemoryFiles>,
    memory_events: Option<File>,
    memory_pressure: Option<File>,
    io: Option<File>,
    io_pressure: Option<File>,
    rdma_current: Option<File>,
    rdma_max: Option<File>,
    hugetlb: Vec<HugetlbFiles>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct File {
    name: String,
    fd: OwnedFd,
}

#[derive(Debug)]
struct MemoryFiles {
    current: File,
    max: File,
    stat: File,
    peak: Option<File>,
    swap_current: Option<File>,
    swap_max: Option<File>,
    swap_peak: Option<File>,
}

#[derive(Debug)]
struct HugetlbFiles {
    page_size: String,
    current: File,
    max: File,
    events: Option<File>,
}

impl StatisticsReader {
    /// Opens the files of a cgroup that statistics are made of.
    ///
    /// # Errors
    /// [`Error::Call`] when the directory cannot be listed or a file cannot be opened.
    pub fn new(cgroup: &Cgroup) -> Result<Self> {
        let names: HashSet<String> = cgroup.directory.files()?.into_iter().collect();
        let open = |name: &str| -> Result<Option<File>> {
            if !names.contains(name) {
                return Ok(None);
            }
            Ok(Some(File { name: name.to_owned(), fd: cgroup.directory.open_file(name)? }))
        };
        let pids = match (open("pids.current")?, open("pids.max")?) {
            (Some(current), Some(max)) => Some([current, max]),
            _ => None,
        };
        let memory = match (open("memory.current")?, open("memory.max")?, open("memory.stat")?) {
            (Some(current), Some(max), Some(stat)) => Some(MemoryFiles {
                current,
                max,
                stat,
                peak: open("memory.peak")?,
                swap_current: open("memory.swap.current")?,
                swap_max: open("memory.swap.max")?,
                swap_peak: open("memory.swap.peak")?,
            }),
            _ => None,
        };
        let mut page_sizes: Vec<&str> = names.iter().filter_map(|name| page_size_of(name)).collect();
        page_sizes.sort_unstable();
        let mut hugetlb = Vec::with_capacity(page_sizes.len());
        for page_size in page_sizes {
            let file = |suffix: &str| open(&format!("hugetlb.{page_size}.{suffix}"));
            if let (Some(current), Some(max)) = (file("current")?, file("max")?) {
                hugetlb.push(HugetlbFiles {
                    page_size: page_size.to_owned(),
                    current,
                    max,
                    events: file("events")?,
                });
            }
        }
        Ok(Self {
            directory: cgroup.directory_path().to_owned(),
            pids,
            cpu: open("cpu.stat")?,
            cpu_pressure: open("cpu.pressure")?,
            memory,
            memory_events: open("memory.events")?,
            memory_pressure: open("memory.pressure")?,
            io: open("io.stat")?,
            io_pressure: open("io.pressure")?,
            rdma_current: open("rdma.current")?,
            rdma_max: open("rdma.max")?,
            hugetlb,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn read(&mut self) -> Result<Statistics> {
        let mut statistics = Statistics::default();
        self.read_into(&mut statistics)?;
        Ok(statistics)
    }

    /// Reads everything into `statistics`, whose lists are reused.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone, and
    /// [`Error::Format`] for a file that is not of the documented form. `statistics` is then partly new.
    pub fn read_into(&mut self, statistics: &mut Statistics) -> Result<()> {
        let mut source = Source { directory: &self.directory, buffer: &mut self.buffer };
        statistics.pids = match &self.pids {
            Some([current, max]) => {
                Some(PidsStatistics { current: source.bound(current)?, limit: source.bound(max)? })
            }
            None => None,
        };
        statistics.cpu = match &self.cpu {
            Some(file) => source.parse(file, "flat keyed file", parse::cpu)?,
            None => Default::default(),
        };
        statistics.memory = match &self.memory {
            Some(files) => Some(source.memory(files)?),
            None => None,
        };
        statistics.memory_events = match &self.memory_events {
            Some(file) => Some(source.memory_events(file)?),
            None => None,
        };
        statistics.cpu_pressure = source.pressure(&mut self.cpu_pressure)?;
        statistics.memory_pressure = source.pressure(&mut self.memory_pressure)?;
        statistics.io_pressure = source.pressure(&mut self.io_pressure)?;
        match &self.io {
            Some(file) => {
                source.parse(file, "nested keyed file", |content| parse::io(content, &mut statistics.io))?;
            }
            None => statistics.io.clear(),
        }
        source.rdma(self.rdma_current.as_ref(), &mut statistics.rdma_current)?;
        source.rdma(self.rdma_max.as_ref(), &mut statistics.rdma_max)?;
        statistics.hugetlb.resize_with(self.hugetlb.len(), HugetlbStatistics::default);
        for (files, entry) in self.hugetlb.iter().zip(&mut statistics.hugetlb) {
            source.hugetlb(files, entry)?;
        }
        Ok(())
    }

    /// Reads only `memory.events`, `None` without the memory controller: what is needed to tell why a process ended.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn read_memory_events(&mut self) -> Result<Option<MemoryEvents>> {
        let mut source = Source { directory: &self.directory, buffer: &mut self.buffer };
        self.memory_events.as_ref().map(|file| source.memory_events(file)).transpose()
    }
}

/// `2MB` of `hugetlb.2MB.current`, but nothing of `hugetlb.2MB.rsvd.current`.
fn page_size_of(name: &str) -> Option<&str> {
    name.strip_prefix("hugetlb.")?.strip_suffix(".current").filter(|page_size| !page_size.contains('.'))
}

/// Reads files of one cgroup through one buffer.
struct Source<'a> {
    directory: &'a Path,
    buffer: &'a mut Vec<u8>,
}

impl Source<'_> {
    fn content(&mut self, file: &File) -> Result<&str> {
        read_at_once(&file.fd, self.buffer)
            .map_err(|errno| Error::call("read", &self.directory.join(&file.name), errno))?;
        std::str::from_utf8(self.buffer).map_err(|_| self.malformed(file, "text file"))
    }

    fn malformed(&self, file: &File, expected: &'static str) -> Error {
        Error::format(&self.directory.join(&file.name), expected, &String::from_utf8_lossy(self.buffer))
    }

    fn parse<T>(
        &mut self,
        file: &File,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        match parse(self.content(file)?) {
            Some(value) => Ok(value),
            None => Err(self.malformed(file, expected)),
        }
    }

    fn bound(&mut self, file: &File) -> Result<u64> {
        self.parse(file, "single value", parse::bound)
    }

    fn optional_bound(&mut self, file: Option<&File>) -> Result<u64> {
        file.map_or(Ok(0), |file| self.bound(file))
    }

    fn memory(&mut self, files: &MemoryFiles) -> Result<MemoryStatistics> {
        Ok(MemoryStatistics {
            usage: self.bound(&files.current)?,
            usage_limit: self.bound(&files.max)?,
            usage_peak: self.optional_bound(files.peak.as_ref())?,
            swap_usage: self.optional_bound(files.swap_current.as_ref())?,
            swap_limit: self.optional_bound(files.swap_max.as_ref())?,
            swap_peak: self.optional_bound(files.swap_peak.as_ref())?,
            stat: self.parse(&files.stat, "flat keyed file", parse::memory_stat)?,
        })
    }

    fn memory_events(&mut self, file: &File) -> Result<MemoryEvents> {
        self.parse(file, "flat keyed file", parse::memory_events)
    }

    /// A kernel that was started with `psi=0` has the files and answers EOPNOTSUPP.
    fn pressure(&mut self, slot: &mut Option<File>) -> Result<Option<Pressure>> {
        let Some(file) = slot else { return Ok(None) };
        match self.parse(file, "pressure file", parse::pressure) {
            Ok(pressure) => Ok(Some(pressure)),
            Err(Error::Call { source: Errno::OPNOTSUPP, .. }) => {
                *slot = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn rdma(&mut self, file: Option<&File>, devices: &mut Vec<RdmaStatistics>) -> Result<()> {
        devices.clear();
        let Some(file) = file else { return Ok(()) };
        self.parse(file, "nested keyed file", |content| {
            parse::rdma(content, |device, hca_handles, hca_objects| {
                devices.push(RdmaStatistics { device: device.to_owned(), hca_handles, hca_objects });
            })
        })
    }

    fn hugetlb(&mut self, files: &HugetlbFiles, entry: &mut HugetlbStatistics) -> Result<()> {
        if entry.page_size != files.page_size {
            entry.page_size.clone_from(&files.page_size);
        }
        entry.current = self.bound(&files.current)?;
        entry.max = self.bound(&files.max)?;
        entry.failures = 0;
        if let Some(events) = &files.events {
            self.parse(events, "flat keyed file", |content| {
                parse::flat_keyed(content, |key, value| {
                    if key == "max" {
                        entry.failures = value;
                    }
                })
            })?;
        }
        Ok(())
    }
}

/// One `pread` per file. The kernel makes all of these files in one piece, so a read that does not fill the buffer
/// has reached the end.
fn read_at_once(fd: &OwnedFd, buffer: &mut Vec<u8>) -> rustix::io::Result<()> {
    loop {
        buffer.clear();
        let room = buffer.capacity();
        let count = retry_on_intr(|| rustix::io::pread(fd, rustix::buffer::spare_capacity(buffer), 0))?;
        if count < room {
            return Ok(());
        }
        buffer.reserve(room.max(BUFFER_BYTES) * 2);
    }
}

#[cfg(test)]
mod tests;
