//! Processes of the node as procfs shows them.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long anything on the node may take: for what hangs only, and so far more than a busy machine takes.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A process of the node, held so that its number cannot come to mean another.
#[derive(Debug)]
pub struct Process {
    /// Its number on the node.
    pub pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    /// `None` when there is no such process.
    pub fn open(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => Some(Self { pid, pidfd }),
            Err(Errno::SRCH) => None,
            Err(errno) => panic!("pidfd_open({pid}): {errno}"),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    /// Waits for the process's end.
    #[track_caller]
    pub fn wait(&self) {
        assert!(self.ends_within(DEADLINE), "process {} did not end", self.pid);
    }

    /// Waits for its end for at most this time.
    pub fn ends_within(&self, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).unwrap();
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout)).unwrap() > 0
    }

    /// A file of the process's directory in procfs.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        let content = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        String::from_utf8_lossy(&content).into_owned()
    }

    /// Identity of its namespace of this kind (`net`, `ipc`, `pid`, ...).
    #[track_caller]
    pub fn namespace(&self, kind: &str) -> String {
        let path = format!("/proc/{}/ns/{kind}", self.pid);
        fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}")).display().to_string()
    }

    /// Its cgroup's directory.
    #[track_caller]
    pub fn cgroup(&self) -> String {
        let content = self.read("cgroup");
        format!("/sys/fs/cgroup{}", content.trim().strip_prefix("0::").unwrap())
    }

    /// A field of its status file.
    #[track_caller]
    pub fn status(&self, field: &str) -> String {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
    }
}

impl AsFd for Process {
    /// Readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// One line of the process table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its number on the node.
    pub pid: u32,
    /// Its parent's number.
    pub parent: u32,
    /// Its name as in `/proc/<pid>/comm`.
    pub name: String,
}

/// Every process except zombies and the kernel's threads.
pub fn table() -> Vec<Entry> {
    let mut entries: Vec<Entry> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(entry)
        .collect();
    entries.sort();
    entries
}

/// Whether a process of this name has the file open.
pub fn has_open(name: &str, path: &Path) -> bool {
    let descriptors = |pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let is_open = |entry: Entry| {
        descriptors(entry.pid)
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|open| open == path))
    };
    table().into_iter().filter(|entry| entry.name == name).any(is_open)
}

fn entry(pid: u32) -> Option<Entry> {
    const KERNEL_THREADS: u32 = 2;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let mut fields = tail.split(' ');
    let state = fields.next()?;
    let parent: u32 = fields.next()?.parse().ok()?;
    let living = state != "Z" && state != "X" && pid != KERNEL_THREADS && parent != KERNEL_THREADS;
    living.then(|| Entry { pid, parent, name: head.split_once('(').map_or("", |(_, name)| name).to_owned() })
}

/// Asks until there is an answer. Each question costs a command's round trip, which is the pace.
#[track_caller]
pub fn ask_until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "{what}: not within {} s", DEADLINE.as_secs());
    }
}
