//! A directory of read-only files in a mount of its own, served through `/dev/fuse` by one thread.
//!
//! One mount for each container: the mount tells who reads, whatever pid or namespaces the reader has. An open file shows
//! the text of the moment at which it was last read from its start, as a `seq_file` of the kernel does; a program that
//! keeps the descriptor and seeks to 0 sees new numbers. The thread ends, and readers get an error at once, when the server is
//! dropped or its process dies; it ends as well when the last mount is gone. Must not know what is in the texts.

mod connection;
mod handles;
mod mount;
mod protocol;

use super::{Texts, ViewFile};
use crate::error::{CallContext, CallError};
use connection::Connection;
pub(crate) use mount::FuseMount;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use std::thread::JoinHandle;

/// What serving needs of the stack is known: no recursion, buffers on the heap.
const STACK_BYTES: usize = 128 << 10;

/// A running server; dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Server {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a thread of its own.
    pub(crate) fn start(fuse: OwnedFd, texts: impl Texts) -> Result<Self, CallError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).call("eventfd", String::new)?;
        let stopped = rustix::io::fcntl_dupfd_cloexec(&stop, 3).call("fcntl", || "F_DUPFD_CLOEXEC".into())?;
        let mut connection = Connection::new(fuse, stopped, texts);
        let thread = std::thread::Builder::new()
            .name("proc-view".into())
            .stack_size(STACK_BYTES)
            .spawn(move || connection.serve())
            .map_err(|error| {
                rustix::io::Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EAGAIN))
            })
            .call("clone", || "thread proc-view".into())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when the counter is full, and then the thread has been told.
        let _told = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // Its result is nothing; a panic aborts the process.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
