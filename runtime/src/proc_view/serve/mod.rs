//! Read-only files in mounts of their own, served through `/dev/fuse` by one thread.
//!
//! Two mounts for each container: the mount tells who reads, whatever pid or namespaces the reader has. In one, an open
//! file shows the text of the moment at which it was last read from its start, as a `seq_file` of the kernel does; a program
//! that keeps the descriptor and seeks to 0 sees new numbers. The other has what changes only on an update, which the kernel
//! keeps. The thread ends, and readers get an error at once, when the server is dropped or its process dies; it ends as well
//! when the last mount is gone. Must not know what is in the texts.

mod attributes;
mod connection;
mod handles;
mod lasting;
mod live;
mod mount;
mod notice;
mod patience;

use super::Texts;
use crate::error::{CallContext, CallError};
use connection::{Buffers, Connection, Served, Unmounted};
use fuse_backend_rs::api::filesystem::FileSystem;
use lasting::LastingFiles;
pub(crate) use lasting::{CPU_INFO, CPUS};
use live::LiveFiles;
pub(crate) use mount::{FuseMount, Permissions};
use notice::Notices;
use patience::Patience;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What serving needs of the stack is known: no recursion, buffers on the heap.
const STACK_BYTES: usize = 128 << 10;

/// Requests of readers of live files that are answered before the thread looks whether anything else is to be done.
const TURN_REQUESTS: u32 = 64;

/// The ends of the connections to be served.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// For files whose text is made for each reader.
    pub(crate) live: Option<OwnedFd>,
    /// For files that change only on an update.
    pub(crate) lasting: Option<OwnedFd>,
}

/// A running server; dropping it ends the connections.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<OwnedFd>,
    live: Option<Arc<OwnedFd>>,
    lasting: Option<Arc<OwnedFd>>,
    notices: Option<Notices>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a thread of its own.
    pub(crate) fn start(connections: Connections, texts: impl Texts + Clone) -> Result<Self, CallError> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).call("eventfd", String::new)?);
        let live = connections.live.map(Arc::new);
        let lasting = connections.lasting.map(Arc::new);
        let mut service = Service {
            stopped: Arc::clone(&stop),
            live: live.clone().map(|fuse| Connection::new(fuse, LiveFiles::new(texts.clone()))),
            lasting: lasting.clone().map(|fuse| Connection::new(fuse, LastingFiles::new(texts))),
            buffers: Buffers::new(),
            patience: None,
        };
        let notices = service.lasting.as_ref().map(Connection::notices);
        let thread = std::thread::Builder::new()
            .name("proc-view".into())
            .stack_size(STACK_BYTES)
            .spawn(move || while service.turn().is_ok() {})
            .map_err(|error| Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EAGAIN)))
            .call("clone", || "thread proc-view".into())?;
        Ok(Self { stop, live, lasting, notices, thread: Some(thread) })
    }

    /// Has the kernel drop what it keeps. Never called by the thread that serves: a reader who waits for an answer holds what
    /// this waits for.
    pub(crate) fn invalidate(&self) {
        if let Some(notices) = &self.notices {
            lasting::invalidate(notices);
        }
    }

    /// More mounts of the same file systems: of the live files, of the lasting ones.
    pub(crate) fn mount_again(&self) -> Result<(Option<OwnedFd>, Option<OwnedFd>), CallError> {
        let again = |fuse: &Option<Arc<OwnedFd>>, permissions| {
            fuse.as_ref().map(|fuse| mount::mount(fuse.as_fd(), permissions)).transpose()
        };
        Ok((again(&self.live, Permissions::ByMode)?, again(&self.lasting, Permissions::Everybody)?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when the counter is full, and then the thread has been told.
        let _told = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // Its result is nothing; a panic aborts the process.
            let _ended = thread.join();
        }
    }
}

/// Why the thread ends.
enum End {
    /// The server was dropped, or nothing is mounted any more.
    Nothing,
}

/// What the thread has.
struct Service<T: Texts> {
    stopped: Arc<OwnedFd>,
    live: Option<Connection<LiveFiles<T>>>,
    lasting: Option<Connection<LastingFiles<T>>>,
    buffers: Buffers,
    /// From the first reader on.
    patience: Option<Patience>,
}

impl<T: Texts> Service<T> {
    /// Waits for a request and answers it.
    fn turn(&mut self) -> Result<(), End> {
        let stopped = self.stopped.as_fd();
        let live = self.live.as_ref().map_or(stopped, Connection::as_fd);
        let lasting = self.lasting.as_ref().map_or(stopped, Connection::as_fd);
        let mut events = [stopped, live, lasting].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut events, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(_) => return Err(End::Nothing),
        }
        let [stopped, live, lasting] = events.map(|event| !event.revents().is_empty());
        if stopped {
            return Err(End::Nothing);
        }
        if live {
            self.serve_live();
        }
        if lasting {
            serve_one(&mut self.lasting, &mut self.buffers);
        }
        if self.live.is_none() && self.lasting.is_none() { Err(End::Nothing) } else { Ok(()) }
    }

    /// Answers a reader of live files, and goes on while one is expected to ask for more.
    fn serve_live(&mut self) {
        let mut served = serve_one(&mut self.live, &mut self.buffers);
        for _ in 1..TURN_REQUESTS {
            if served != Served::InTheMiddle {
                return;
            }
            served = self.serve_expected();
        }
    }

    /// Answers the request that is expected, if it comes while the thread is willing to look for it.
    fn serve_expected(&mut self) -> Served {
        let patience = self.patience.get_or_insert_with(Patience::of_this_process);
        let looks = patience.looks();
        for _ in 0..looks {
            let served = serve_one(&mut self.live, &mut self.buffers);
            if served != Served::Nothing {
                patience.rewarded();
                return served;
            }
        }
        if looks > 0 {
            patience.disappointed();
        }
        Served::Nothing
    }
}

/// Answers one request, if there is one; a connection that is over is given up.
fn serve_one<F: FileSystem + Sync>(connection: &mut Option<Connection<F>>, buffers: &mut Buffers) -> Served {
    let served = connection.as_ref().map_or(Ok(Served::Nothing), |open| open.serve_one(buffers));
    served.unwrap_or_else(|Unmounted| {
        *connection = None;
        Served::Nothing
    })
}

#[cfg(test)]
mod large_machine;
#[cfg(test)]
mod tests;
