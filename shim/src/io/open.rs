//! Opens the paths of standard streams. Must not know what goes through.
//!
//! The shim keeps the other end of each FIFO: a restart of containerd then neither ends the container's input nor makes its
//! output fail. Of an output it opens that end last, once the client's reader is there. A client's open may be still under
//! way when it asks for the process; an open that comes after a short process's end would wait for a writer for ever.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::IoError;

/// The two ends of one stream.
#[derive(Debug)]
pub(super) struct Ends {
    /// Given to the process, or copied from and to; blocking unless said otherwise.
    pub(super) process: OwnedFd,
    /// The other end, kept by the shim. Only a FIFO has one.
    pub(super) kept: Option<OwnedFd>,
}

/// How long a client may take to open what it wants to read. A process whose client never comes is started nevertheless.
const READER_BOUND: Duration = Duration::from_secs(10);

const BASE: OFlags = OFlags::CLOEXEC.union(OFlags::NOCTTY);

/// Opens what is read as standard input: the read end for the process, the write end to keep.
pub(super) fn input(path: &Path) -> Result<Ends, IoError> {
    let place = Place::find("stdin", path)?;
    if !place.is_fifo {
        return Ok(Ends { process: place.open(OFlags::RDONLY, "O_RDONLY")?, kept: None });
    }
    let process = place.open(OFlags::RDONLY | OFlags::NONBLOCK, "O_RDONLY | O_NONBLOCK")?;
    let kept = place.open(OFlags::WRONLY | OFlags::NONBLOCK, "O_WRONLY | O_NONBLOCK")?;
    // The flag lives on the description, which at this moment nobody else has.
    set_blocking(&process)?;
    Ok(Ends { process, kept: Some(kept) })
}

/// Opens what `stream` is written to: the write end for the process, the read end to keep. Blocks until the client has
/// opened its end, for a bounded time.
pub(super) fn output(stream: &'static str, path: &Path) -> Result<Ends, IoError> {
    output_within(stream, path, READER_BOUND)
}

fn output_within(stream: &'static str, path: &Path, bound: Duration) -> Result<Ends, IoError> {
    let place = Place::find(stream, path)?;
    if !place.is_fifo {
        let process = place.open(OFlags::WRONLY | OFlags::APPEND, "O_WRONLY | O_APPEND")?;
        return Ok(Ends { process, kept: None });
    }
    let process = match place.open(OFlags::WRONLY | OFlags::NONBLOCK, "O_WRONLY | O_NONBLOCK") {
        Err(IoError::Open { source: Errno::NXIO, .. }) => place.open_when_read(bound)?,
        opened => {
            let opened = opened?;
            set_blocking(&opened)?;
            opened
        }
    };
    let kept = place.open(OFlags::RDONLY | OFlags::NONBLOCK, "O_RDONLY | O_NONBLOCK")?;
    Ok(Ends { process, kept: Some(kept) })
}

/// Opens a log file that both streams are appended to, making it and its directory if need be.
pub(super) fn log_file(path: &Path) -> Result<OwnedFd, IoError> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(|source| IoError::CreateDirectory { path: directory.to_owned(), source })?;
    }
    let flags = BASE | OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).map_err(|source| IoError::Open {
        stream: "stdout",
        path: path.to_owned(),
        flags: "O_WRONLY | O_APPEND | O_CREAT",
        source,
    })
}

pub(super) fn set_nonblocking(descriptor: &OwnedFd) -> Result<(), IoError> {
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(IoError::call("fcntl(F_GETFL)", "O_NONBLOCK"))?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)
        .map_err(IoError::call("fcntl(F_SETFL)", "O_NONBLOCK"))
}

/// For a description that has no other flag of those that can be changed.
fn set_blocking(descriptor: &OwnedFd) -> Result<(), IoError> {
    rustix::fs::fcntl_setfl(descriptor, OFlags::empty())
        .map_err(IoError::call("fcntl(F_SETFL)", "of a FIFO, to none"))
}

/// One file system object: found once, so that both ends are certainly of the same FIFO.
struct Place<'a> {
    stream: &'static str,
    path: &'a Path,
    handle: OwnedFd,
    is_fifo: bool,
}

impl<'a> Place<'a> {
    fn find(stream: &'static str, path: &'a Path) -> Result<Self, IoError> {
        let error = |flags| move |source| IoError::Open { stream, path: path.to_owned(), flags, source };
        let handle =
            rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(error("O_PATH"))?;
        let status = rustix::fs::fstat(&handle).map_err(error("fstat"))?;
        let refuse = |kind| Err(IoError::NotAStream { stream, path: path.to_owned(), kind });
        let is_fifo = match FileType::from_raw_mode(status.st_mode) {
            FileType::Fifo => true,
            FileType::RegularFile | FileType::CharacterDevice => false,
            FileType::Directory => return refuse("directory"),
            FileType::Socket => return refuse("socket"),
            FileType::BlockDevice => return refuse("block device"),
            _ => return refuse("file of an unknown kind"),
        };
        Ok(Self { stream, path, handle, is_fifo })
    }

    /// Opens the write end once somebody reads, or after `bound`: the shim's own reading then ends the wait.
    fn open_when_read(&self, bound: Duration) -> Result<OwnedFd, IoError> {
        let (waiting, waits) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                while waits.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
                    match self.open(OFlags::RDONLY | OFlags::NONBLOCK, "O_RDONLY | O_NONBLOCK") {
                        Ok(_own_reader) => {
                            tracing::warn!(stream = self.stream, path = %self.path.display(), "nobody reads yet");
                            // The sender is never used: this returns when it is dropped.
                            let _dropped = waits.recv();
                            return;
                        }
                        Err(error) => tracing::error!(error = ballast_runtime::report(&error), "stop waiting for a reader"),
                    }
                }
            });
            let opened = self.open(OFlags::WRONLY, "O_WRONLY");
            drop(waiting);
            opened
        })
    }

    fn open(&self, flags: OFlags, names: &'static str) -> Result<OwnedFd, IoError> {
        let handle = format!("/proc/self/fd/{}", self.handle.as_raw_fd());
        rustix::fs::open(handle, BASE | flags, Mode::empty()).map_err(|source| IoError::Open {
            stream: self.stream,
            path: self.path.to_owned(),
            flags: names,
            source,
        })
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
