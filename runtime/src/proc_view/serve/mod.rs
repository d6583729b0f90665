//! Read-only files, served through `/dev/fuse` by one thread for all containers of a pod.
//!
//! There are two file systems. In one, an open file shows the text of the moment at which it was last read from its start, as a
//! `seq_file` of the kernel does; a program that keeps the descriptor and seeks to 0 sees new numbers. The other has what
//! changes only on an update, which the kernel keeps. In both, each container has a directory of its own, single files of which
//! are mounted in it: the mount tells who reads, whatever pid or namespaces the reader has, and nobody gets to see another's
//! directory. Readers get an error at once when their directory is removed, the server is dropped or its process dies. Must not
//! know what is in the texts.

mod attributes;
mod connection;
mod directory;
mod handles;
mod lasting;
mod live;
mod mount;
mod notice;
mod patience;

use super::Texts;
use crate::error::{CallContext, CallError};
use connection::{Buffers, Connection, Served, Unmounted};
pub(crate) use directory::Directory;
use fuse_backend_rs::api::filesystem::FileSystem;
use lasting::LastingFiles;
pub(crate) use lasting::{CPU_INFO, CPUS};
use live::LiveFiles;
pub(crate) use mount::{FuseMount, Permissions};
use notice::Notices;
use patience::Patience;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

/// What serving needs of the stack is known: no recursion, buffers on the heap.
const STACK_BYTES: usize = 128 << 10;

/// Requests of readers of live files that are answered before the thread looks whether anything else is to be done.
const TURN_REQUESTS: u32 = 64;

/// A running server; dropping it ends both file systems.
#[derive(Debug)]
pub(crate) struct Server<T> {
    stop: Arc<OwnedFd>,
    live: FileSystemOfPod<LiveFiles<T>>,
    lasting: FileSystemOfPod<LastingFiles<T>>,
    /// The number of the last directory.
    directories: AtomicU32,
    /// Whether nobody has cut a file system off.
    serves: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One of the two.
#[derive(Debug)]
struct FileSystemOfPod<F> {
    connection: Arc<OwnedFd>,
    /// Mounted nowhere. Held so that the kernel takes the file system apart when the server is dropped, and not in the exit of a
    /// container's last process, which would wait for it.
    tree: OwnedFd,
    files: Arc<F>,
    permissions: Permissions,
    parts: Parts,
    notices: Notices,
}

/// What the kernel lets parts be cloned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// A tree that is mounted nowhere (Linux 6.15).
    Detached,
    /// A tree that was mounted, which can be done once: not again after it was taken off. Each container gets one of its own
    /// (Linux 5.15).
    OneForEach,
    /// The same, and there is one.
    OneForAll,
}

impl<F: FileSystem + Send + Sync + Default> FileSystemOfPod<F> {
    fn make(permissions: Permissions) -> Result<Self, CallError> {
        let FuseMount { connection, tree } = FuseMount::new(permissions)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
        let parts = if open_tree(&tree, "", flags | OpenTreeFlags::OPEN_TREE_CLOEXEC).is_ok() {
            Parts::Detached
        } else if mount::mount(connection.as_fd(), permissions).is_ok() {
            Parts::OneForEach
        } else {
            Parts::OneForAll
        };
        let connection = Arc::new(connection);
        let notices = Notices::new(Arc::clone(&connection));
        Ok(Self { connection, tree, files: Arc::default(), permissions, parts, notices })
    }

    fn connection(&self) -> Connection<Arc<F>> {
        Connection::new(Arc::clone(&self.connection), Arc::clone(&self.files))
    }

    /// A tree of the file system that somebody may take parts of.
    fn tree_to_take_apart(&self) -> Result<OwnedFd, CallError> {
        match self.parts {
            Parts::Detached | Parts::OneForAll => {
                fcntl_dupfd_cloexec(&self.tree, 3).call("fcntl", || "F_DUPFD_CLOEXEC".into())
            }
            Parts::OneForEach => mount::mount(self.connection.as_fd(), self.permissions),
        }
    }
}

impl<T: Texts + Clone> Server<T> {
    /// Serves on a thread of its own, nothing yet.
    pub(crate) fn start() -> Result<Self, CallError> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).call("eventfd", String::new)?);
        let live = FileSystemOfPod::<LiveFiles<T>>::make(Permissions::ByMode)?;
        let lasting = FileSystemOfPod::<LastingFiles<T>>::make(Permissions::Everybody)?;
        let serves = Arc::new(AtomicBool::new(true));
        let mut service = Service {
            stopped: Arc::clone(&stop),
            live: Some(live.connection()),
            lasting: Some(lasting.connection()),
            serves: Arc::clone(&serves),
            buffers: Buffers::new(),
            patience: None,
        };
        let thread = std::thread::Builder::new()
            .name("proc-view".into())
            .stack_size(STACK_BYTES)
            .spawn(move || while service.turn().is_ok() {})
            .map_err(|error| Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EAGAIN)))
            .call("clone", || "thread proc-view".into())?;
        Ok(Self { stop, live, lasting, directories: AtomicU32::new(0), serves, thread: Some(thread) })
    }

    /// Makes a directory in both file systems, to be [given to a container](Self::fill) and [removed](Self::remove) again. None when
    /// the server does not serve any more, because somebody has cut a file system off
    /// (`/sys/fs/fuse/connections/*/abort`), or has no number left.
    pub(crate) fn add(&self) -> Option<Directory> {
        let last = self.directories.fetch_add(1, Ordering::Relaxed);
        let directory = last.checked_add(1).and_then(Directory::new)?;
        if !self.serves() {
            return None;
        }
        self.live.files.add(directory);
        self.lasting.files.add(directory);
        Some(directory)
    }

    /// Whether nobody has cut a file system off.
    pub(crate) fn serves(&self) -> bool {
        self.serves.load(Ordering::Acquire)
    }

    /// Has the kernel ask for all names of a directory, so that it knows them when a container's process, which others wait for,
    /// takes them. It may forget them again.
    pub(crate) fn look_up(&self, directory: Directory) -> Result<(), CallError> {
        let look_up = || {
            let open = |tree: &OwnedFd, name: &CStr, access: OFlags| {
                openat(tree, name, access | OFlags::CLOEXEC, Mode::empty())
            };
            look_all_up(open(&self.live.tree, &directory.name(), OFlags::RDONLY)?)?;
            let lasting = open(&self.lasting.tree, &directory.name(), OFlags::PATH)?;
            [CPU_INFO, CPUS].into_iter().try_for_each(|name| {
                openat(&lasting, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(drop)
            })
        };
        look_up().call("openat", || format!("{:?} of the views", directory.name()))
    }

    /// Gives a directory to a container.
    pub(crate) fn fill(&self, directory: Directory, texts: T) {
        self.live.files.fill(directory, texts.clone());
        self.lasting.files.fill(directory, texts);
    }

    /// Removes a container's directory, and has the kernel forget it. Never called by the thread that serves: a reader who waits for
    /// an answer holds what this waits for.
    pub(crate) fn remove(&self, directory: Directory) {
        self.live.files.remove(directory);
        self.lasting.files.remove(directory);
        let name = directory.name();
        self.live.notices.forget(&name);
        self.lasting.notices.forget(&name);
    }

    /// Has the kernel drop what it keeps of a container. As [`Self::remove`], never called by the thread that serves.
    pub(crate) fn invalidate(&self, directory: Directory) {
        lasting::invalidate(&self.lasting.notices, directory);
    }

    /// The file system of the live files, as it is mounted nowhere.
    pub(crate) fn live(&self) -> BorrowedFd<'_> {
        self.live.tree.as_fd()
    }

    /// Whether the kernel lets one container only have parts of the file systems.
    pub(crate) fn is_for_one(&self) -> bool {
        self.live.parts == Parts::OneForAll
    }

    /// The file system of what lasts, as it is mounted nowhere.
    pub(crate) fn lasting(&self) -> BorrowedFd<'_> {
        self.lasting.tree.as_fd()
    }

    /// Live files as a tree to take some of.
    pub(crate) fn live_to_take_apart(&self) -> Result<OwnedFd, CallError> {
        self.live.tree_to_take_apart()
    }

    /// What lasts as a tree to take some of.
    pub(crate) fn lasting_to_take_apart(&self) -> Result<OwnedFd, CallError> {
        self.lasting.tree_to_take_apart()
    }
}

#[cfg(test)]
impl<T> Server<T> {
    /// As on kernels before Linux 5.15.
    pub(crate) fn have_one_tree(&mut self) {
        self.live.parts = Parts::OneForAll;
        self.lasting.parts = Parts::OneForAll;
    }
}

impl<T> Drop for Server<T> {
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
    /// The server was dropped, or both file systems were cut off.
    Nothing,
}

/// What the thread has.
struct Service<T: Texts> {
    stopped: Arc<OwnedFd>,
    live: Option<Connection<Arc<LiveFiles<T>>>>,
    lasting: Option<Connection<Arc<LastingFiles<T>>>>,
    serves: Arc<AtomicBool>,
    buffers: Buffers,
    /// From the first reader on.
    patience: Option<Patience>,
}

impl<T: Texts> Service<T> {
    /// Waits for a request and answers it. Of a file system that was cut off the readers hear so from the kernel; those of the other
    /// are served on.
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
        if self.live.is_none() || self.lasting.is_none() {
            self.serves.store(false, Ordering::Release);
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

/// Lists a directory of live files, which tells the kernel of all of them in one request instead of one for each.
pub(crate) fn look_all_up(directory: impl AsFd) -> Result<(), Errno> {
    let mut buffer = Vec::<u8>::with_capacity(4096);
    // One call gets as much as the server puts into one answer; the rest would be looked up by name.
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    entries.next().map_or(Ok(()), |entry| entry.map(drop))
}

#[cfg(test)]
mod large_machine;
#[cfg(test)]
mod tests;
