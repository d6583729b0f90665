//! `memory.events`: what the kernel did to keep a cgroup within its memory limits, and being told when it did.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::cgroup::Cgroup;
use crate::directory::read_whole;
use crate::error::{Error, Result};
use crate::statistics::{MemoryEvents, parse_memory_events};

const FILE: &str = "memory.events";

/// `memory.events` of one cgroup, held open to be waited for.
///
/// The kernel reports a change as `POLLPRI | POLLERR` (`EPOLLPRI` with epoll, edge-triggered or not). Reading arms it:
/// [read](Self::read) once, wait for priority readiness of [the descriptor](Self::as_fd), read again, and so on. A
/// change between a read and the wait is not lost. After the cgroup's removal reading fails with
/// [`Kind::NotFound`](crate::Kind::NotFound).
#[derive(Debug)]
pub struct MemoryEventsFile {
    fd: OwnedFd,
    path: PathBuf,
    content: Vec<u8>,
}

impl AsFd for MemoryEventsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl MemoryEventsFile {
    /// Reads the counters and arms the next notification.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn read(&mut self) -> Result<MemoryEvents> {
        read_whole(&self.fd, &mut self.content).map_err(|errno| Error::call("read", &self.path, errno))?;
        let content = String::from_utf8_lossy(&self.content);
        parse_memory_events(&content).ok_or_else(|| Error::format(&self.path, "flat keyed file", &content))
    }
}

impl Cgroup {
    /// Opens `memory.events` for waiting.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] without the memory controller.
    pub fn memory_events_file(&self) -> Result<MemoryEventsFile> {
        let fd = self.open_file(FILE)?;
        Ok(MemoryEventsFile { fd, path: self.directory_path().join(FILE), content: Vec::new() })
    }

    /// Reads the counters of `memory.events` once.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] without the memory controller.
    pub fn memory_events(&self) -> Result<MemoryEvents> {
        self.memory_events_file()?.read()
    }
}
