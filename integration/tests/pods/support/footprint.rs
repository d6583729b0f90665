//! Everything on the node that a pod can leave behind, by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::process::{self, Process};

const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
const SOCKETS: &str = "/run/containerd/s";
const RECORDS: &str = "/run/ballast";
const CGROUPS: &str = "/sys/fs/cgroup";
const NETWORK_NAMESPACES: &str = "/run/netns";

/// How long a removal may go on after crictl's answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What was there at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    things: BTreeSet<Thing>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Process { pid: u32, name: String },
    Cgroup(PathBuf),
    Mount(String),
    Socket(PathBuf),
    Bundle(PathBuf),
    Record(PathBuf),
    NetworkNamespace(PathBuf),
}

impl Footprint {
    pub(crate) fn take() -> Self {
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
        Self { things }
    }

    /// Waits until nothing is there that was not there when this was taken.
    #[track_caller]
    pub(crate) fn assert_restored(&self) {
        let left = self.wait_for_restoration();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What is still there after [`DEADLINE`].
    fn wait_for_restoration(&self) -> Vec<Thing> {
        let begin = Instant::now();
        loop {
            let changes = Changes::watch();
            let left: Vec<Thing> = Self::take().things.difference(&self.things).cloned().collect();
            let elapsed = begin.elapsed();
            if left.is_empty() || elapsed >= DEADLINE {
                return left;
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
        let processes: Vec<Process> = left
            .iter()
            .filter_map(|thing| match thing {
                Thing::Process { pid, .. } => Process::open(*pid),
                _ => None,
            })
            .collect();
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

#[test]
fn a_footprint_shows_what_is_left_and_only_that() {
    let _node = super::node::Node::take();
    let cgroup = Path::new(CGROUPS).join(format!("footprint-test-{}", std::process::id()));
    let before = Footprint::take();
    fs::create_dir(&cgroup).unwrap();
    let with_cgroup = Footprint::take();
    let mut sleeper = std::process::Command::new("setsid").args(["--fork", "sleep", "1000"]).spawn().unwrap();
    sleeper.wait().unwrap();
    let left: Vec<Thing> = Footprint::take().things.difference(&before.things).cloned().collect();
    let [Thing::Process { pid, .. }, Thing::Cgroup(path)] = &left[..] else { panic!("{left:?}") };
    assert_eq!(path, &cgroup);
    Process::open(*pid).unwrap().signal(rustix::process::Signal::KILL);
    with_cgroup.assert_restored();
    fs::remove_dir(&cgroup).unwrap();
    before.assert_restored();
}
