//! Everything on the node that a pod can leave behind, by name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::process::{self, DEADLINE, Process};
use super::systemd;

const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
const SOCKETS: &str = "/run/containerd/s";
const RECORDS: &str = "/run/ballast";
const CGROUPS: &str = "/sys/fs/cgroup";
const NETWORK_NAMESPACES: &str = "/run/netns";
/// Where containerd and its CRI plugin make the pipes of standard streams, one directory for each process.
const FIFOS: [&str; 2] = ["/run/containerd/io.containerd.grpc.v1.cri", "/run/containerd/fifo"];

/// What was there at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    things: BTreeSet<Thing>,
}

/// One thing that a pod can leave behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A process that is not containerd or a test's own command.
    Process {
        /// Its number on the node.
        pid: u32,
        /// Its name as in `/proc/<pid>/comm`.
        name: String,
    },
    /// A directory of the cgroup hierarchy.
    Cgroup(PathBuf),
    /// A mount point.
    Mount(String),
    /// A shim's socket.
    Socket(PathBuf),
    /// A bundle of containerd's.
    Bundle(PathBuf),
    /// A record of Ballast's.
    Record(PathBuf),
    /// A name of a network namespace.
    NetworkNamespace(PathBuf),
    /// A pipe of containerd's for a standard stream.
    Fifo(PathBuf),
    /// A scope or slice of systemd's, or a unit that failed, with its state.
    Unit(String),
}

impl Footprint {
    /// Looks at the node.
    pub fn take() -> Self {
        let mut things = BTreeSet::new();
        // containerd itself may be another after a test restarted it; a test's own commands are its own business.
        let own = std::process::id();
        let foreign =
            |entry: &process::Entry| entry.pid != own && entry.parent != own && entry.name != "containerd";
        things.extend(
            process::table()
                .into_iter()
                .filter(foreign)
                .map(|entry| Thing::Process { pid: entry.pid, name: entry.name }),
        );
        things.extend(directories_below(Path::new(CGROUPS)).into_iter().map(Thing::Cgroup));
        things.extend(mount_points().into_iter().map(Thing::Mount));
        things.extend(entries(SOCKETS).into_iter().map(Thing::Socket));
        things.extend(entries(BUNDLES).into_iter().map(Thing::Bundle));
        things.extend(files_below(Path::new(RECORDS)).into_iter().map(Thing::Record));
        things.extend(entries(NETWORK_NAMESPACES).into_iter().map(Thing::NetworkNamespace));
        things.extend(systemd::units().into_iter().map(Thing::Unit));
        for directory in FIFOS {
            things.extend(
                files_below(Path::new(directory)).into_iter().filter(|p| is_fifo(p)).map(Thing::Fifo),
            );
        }
        Self { things }
    }

    /// What is there now and was not there `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<Thing> {
        self.things.difference(&before.things).cloned().collect()
    }

    /// Waits until nothing is there that was not there when this was taken.
    #[track_caller]
    pub fn assert_restored(&self) {
        let left = self.wait_for_restoration();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What is still there after [`DEADLINE`].
    fn wait_for_restoration(&self) -> Vec<Thing> {
        let begin = Instant::now();
        loop {
            let changes = Changes::watch();
            let left = Self::take().since(self);
            let elapsed = begin.elapsed();
            if left.is_empty() || elapsed >= DEADLINE {
                return left;
            }
            // systemd forgets a unit after the kernel's last news of it. Asking it is the pace.
            if left.iter().all(|thing| matches!(thing, Thing::Unit(_))) {
                continue;
            }
            changes.wait(&left, Timespec::try_from(DEADLINE - elapsed).unwrap());
        }
    }
}

/// The kernel's news about directories and mounts from this moment on.
struct Changes {
    directories: rustix::fd::OwnedFd,
    mounts: fs::File,
}

impl Changes {
    fn watch() -> Self {
        let directories = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let mut paths = directories_below(Path::new(CGROUPS));
        for directory in FIFOS.iter().chain(&[RECORDS]) {
            paths.extend(directories_below(Path::new(directory)));
        }
        paths.extend([SOCKETS, BUNDLES, RECORDS, NETWORK_NAMESPACES, CGROUPS].map(PathBuf::from));
        for path in paths {
            // What is gone by now needs no watching.
            let _gone = inotify::add_watch(&directories, &path, WatchFlags::DELETE | WatchFlags::MOVE);
        }
        let mut mounts = fs::File::open("/proc/self/mountinfo").unwrap();
        // poll() reports changes since the last read.
        std::io::copy(&mut mounts, &mut std::io::sink()).unwrap();
        Self { directories, mounts }
    }

    fn wait(&self, left: &[Thing], timeout: Timespec) {
        let pids = left.iter().filter_map(|thing| match thing {
            Thing::Process { pid, .. } => Some(*pid),
            _ => None,
        });
        // One that is gone by now will not tell of its end.
        let Some(processes) = pids.map(Process::open).collect::<Option<Vec<_>>>() else { return };
        let mut events: Vec<PollFd<'_>> =
            processes.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        events.push(PollFd::new(&self.directories, PollFlags::IN));
        events.push(PollFd::new(&self.mounts, PollFlags::PRI | PollFlags::ERR));
        poll(&mut events, Some(&timeout)).unwrap();
    }
}

fn entries(directory: &str) -> Vec<PathBuf> {
    // Each of these directories appears with the first pod.
    fs::read_dir(directory)
        .map_or_else(|_| Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

fn directories_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Another's directory can vanish while it is looked at.
    for path in fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            found.extend(directories_below(&path));
            found.push(path);
        }
    }
    found
}

fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_fifo(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn mount_points() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

/// Removes a cgroup once its children are gone, as kubelet does. One that keeps them stays and shows in the footprint.
pub(super) fn remove_empty_cgroup(path: &Path) {
    let begin = Instant::now();
    // Watched before it is tried, so that no child's end falls in between.
    let children = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    let _gone = inotify::add_watch(&children, path, WatchFlags::DELETE);
    while fs::remove_dir(path).is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy) {
        let Some(left) = DEADLINE.checked_sub(begin.elapsed()) else { return };
        let mut events = [PollFd::new(&children, PollFlags::IN)];
        poll(&mut events, Some(&Timespec::try_from(left).unwrap())).unwrap();
        // Read, so that the next wait is for the next event.
        let _taken = rustix::io::read(&children, &mut [0; 4096]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let gone = Thing::Process { pid: child.id(), name: "true".to_owned() };
        let an_hour = Timespec { tv_sec: 3600, tv_nsec: 0 };
        Changes::watch().wait(&[gone], an_hour);
    }
}
