//! Where lines go: a descriptor that may be full, and the count of what did not fit.
//!
//! Must not know what a line says.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags};

use super::{clock, line::Line};

/// A descriptor that lines are written to, each in one piece or not at all.
#[derive(Debug)]
pub struct Sink {
    descriptor: OwnedFd,
    dropped: AtomicU64,
}

/// Opens containerd's log FIFO.
///
/// Both ends, so that a restart of containerd neither breaks the pipe nor needs it opened again; non-blocking, so
/// that a full pipe costs a record and not the pod.
///
/// # Errors
/// What open(2) returns; `ENOENT` when no log is wanted.
pub fn open_fifo(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

impl Sink {
    /// Writes to `descriptor`, which must be non-blocking if it can be full.
    pub fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, dropped: AtomicU64::new(0) }
    }

    /// Lines dropped since the last one that was written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn write(&self, line: String) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && !self.write_whole(&dropped_line(dropped)) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
            return;
        }
        if !self.write_whole(&line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A pipe takes a line of up to `PIPE_BUF` bytes whole or not at all, so there is no rest to write.
    fn write_whole(&self, line: &str) -> bool {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.descriptor, line.as_bytes())).is_ok()
    }
}

fn dropped_line(count: u64) -> String {
    let mut line = Line::new(&clock::now(), "warning");
    line.message("log records dropped: the log was full");
    line.field("count", count);
    line.finish()
}
