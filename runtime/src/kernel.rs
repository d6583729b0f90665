//! What Ballast uses of the kernel, tried on the one that runs, for an operator who asks before a pod does. The list is
//! that of `docs/kernel-features.md`, without what cannot be tried and left as it was. Must not know containers.

use crate::proc_view::{FuseMount, Permissions};
use crate::sys;
use ballast_cgroups::{Ancestor, Cgroup};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, OpenTreeFlags, fsopen, open_tree};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

/// One thing that the kernel does or does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFeature {
    /// What it is.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
    /// Whether this one has it.
    pub presence: Presence,
    /// What becomes of Ballast without it.
    pub without: &'static str,
    /// Whether Ballast cannot run without it.
    pub is_needed: bool,
}

/// What trying something showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It works.
    Present,
    /// It does not, and what the kernel said.
    Missing(String),
    /// It could not be tried, and why.
    Unknown(String),
}

/// What makes the runtime impossible.
const DOES_NOT_RUN: &str = "does not run";

/// Tries a feature. Nothing that it does outlives the call.
type Attempt = fn() -> Result<(), Errno>;

/// Name, first kernel, what is lost without it, and the attempt.
const TRIED: &[(&str, &str, &str, Attempt)] = &[
    ("clone3 with CLONE_INTO_CGROUP and CLONE_PIDFD", "5.7", DOES_NOT_RUN, clone_into_cgroup),
    ("waitid on a pidfd", "5.4", DOES_NOT_RUN, wait_on_pidfd),
    ("setns on a pidfd", "5.8", DOES_NOT_RUN, setns_on_pidfd),
    ("openat2", "5.6", DOES_NOT_RUN, open_resolved),
    ("open_tree, fsopen", "5.2", DOES_NOT_RUN, detached_mounts),
    ("mount_setattr", "5.12", DOES_NOT_RUN, mount_attributes),
    ("close_range(CLOEXEC)", "5.11", DOES_NOT_RUN, close_range),
    ("BPF device programs", "4.15", DOES_NOT_RUN, device_program),
    ("FUSE", "5.2", "containers see the host's /proc, or are refused if they asked for their own", fuse),
    ("seccomp listeners", "5.5", "asking for sysinfo(2) of the container's own is refused", seccomp_listener),
    ("time namespaces", "5.6", "the host's uptime; linux.timeOffsets is refused", time_namespaces),
];

/// Name, first kernel, what is lost without it, and a file of a cgroup that shows it.
const FILES: &[(&str, &str, &str, &str)] = &[
    ("cgroup.kill", "5.14", "a cgroup is frozen, signalled and thawed", "cgroup.kill"),
    ("cpu.max.burst", "5.14", "CPU bursts are refused, or told as not set", "cpu.max.burst"),
    ("cpu.idle", "5.15", "linux.resources.cpu.idle is refused; priorities do without", "cpu.idle"),
    ("memory.oom.group", "4.19", "asking for it is refused", "memory.oom.group"),
    ("memory.reclaim", "5.19", "memory is not reclaimed ahead of need", "memory.reclaim"),
    ("pressure (PSI) of cgroups", "4.20", "left out of the statistics", "memory.pressure"),
];

/// Tries everything; `cgroup` is one with all the controllers of its node, if there is any.
#[must_use]
pub fn kernel_features(cgroup: Option<&Cgroup>) -> Vec<KernelFeature> {
    let tried = TRIED.iter().map(|&(name, since, without, attempt)| {
        let presence = match attempt() {
            Ok(()) => Presence::Present,
            Err(errno) => Presence::Missing(errno.to_string()),
        };
        KernelFeature { name, since, presence, without, is_needed: without == DOES_NOT_RUN }
    });
    let lineage = cgroup.and_then(|cgroup| cgroup.lineage().ok());
    let level = lineage.as_ref().and_then(|lineage| lineage.first());
    let files = FILES.iter().map(|&(name, since, without, file)| KernelFeature {
        name,
        since,
        presence: match (cgroup, level) {
            (Some(cgroup), Some(level)) => has_file(cgroup, level, file),
            _ => Presence::Unknown("no cgroup to look at".into()),
        },
        without,
        is_needed: false,
    });
    tried.chain(files).collect()
}

fn has_file(cgroup: &Cgroup, level: &Ancestor, file: &str) -> Presence {
    let controller = file.split('.').next().unwrap_or_default();
    match (level.file(file), cgroup.controllers()) {
        (Ok(Some(_)), _) => Presence::Present,
        (Ok(None), Ok(controllers)) if controller != "cgroup" && !controllers.contains(controller) => {
            Presence::Unknown(format!("no controller {controller} in {}", cgroup.directory_path().display()))
        }
        (Ok(None), _) => Presence::Missing("no such file".into()),
        (Err(error), _) => Presence::Unknown(crate::error::report(&error)),
    }
}

fn null() -> Result<OwnedFd, Errno> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn own_pidfd() -> Result<OwnedFd, Errno> {
    pidfd_open(getpid(), PidfdFlags::empty())
}

/// `expected` is how a kernel that knows the call refuses what no kernel does.
fn refused_with(expected: Errno, outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(errno) if errno == expected => Ok(()),
        other => other,
    }
}

fn clone_into_cgroup() -> Result<(), Errno> {
    // Into what is no cgroup, so that no process is made: a kernel that does not know the flag says so first.
    match sys::clone3(sys::CloneFlags::namespaces(0), Some(null()?.as_fd())) {
        Ok(sys::Forked::Child) => sys::exit_now(0),
        outcome => refused_with(Errno::BADF, outcome.map(drop)),
    }
}

fn wait_on_pidfd() -> Result<(), Errno> {
    let outcome = sys::wait::reap(own_pidfd()?.as_fd());
    let outcome = outcome.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    refused_with(Errno::CHILD, outcome)
}

fn setns_on_pidfd() -> Result<(), Errno> {
    // Where it is already.
    move_into_thread_name_spaces(own_pidfd()?.as_fd(), ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
}

fn open_resolved() -> Result<(), Errno> {
    openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS).map(drop)
}

fn detached_mounts() -> Result<(), Errno> {
    fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).map(drop)
}

fn mount_attributes() -> Result<(), Errno> {
    let tree = open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    sys::mount_setattr(tree.as_fd(), sys::MountAttributes::READ_ONLY, None, false)
}

fn close_range() -> Result<(), Errno> {
    // Beyond every descriptor that there can be.
    sys::close_on_exec_from(u32::MAX)
}

fn device_program() -> Result<(), Errno> {
    /// `r0 = 1; exit`: everything is allowed.
    const ALLOW: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];
    sys::load_program(sys::CgroupProgram::Device, &ALLOW).map(drop)
}

fn fuse() -> Result<(), Errno> {
    FuseMount::new(Permissions::ByMode).map(drop).map_err(|error| error.errno)
}

fn seccomp_listener() -> Result<(), Errno> {
    if sys::seccomp_has_flags(crate::seccomp::Flags::NEW_LISTENER.bits()) {
        Ok(())
    } else {
        Err(Errno::NOSYS)
    }
}

fn time_namespaces() -> Result<(), Errno> {
    rustix::fs::stat("/proc/self/ns/time").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run on kernels that Ballast runs on.
    #[test]
    fn everything_that_is_needed_is_here() {
        for feature in kernel_features(None) {
            let fine = feature.presence == Presence::Present || !feature.is_needed;
            assert!(fine, "{feature:?}");
        }
    }

    #[test]
    fn a_call_that_the_kernel_does_not_know_is_told_from_one_that_it_refuses() {
        assert_eq!(refused_with(Errno::BADF, Err(Errno::BADF)), Ok(()));
        assert_eq!(refused_with(Errno::BADF, Err(Errno::NOSYS)), Err(Errno::NOSYS));
    }

    #[test]
    fn every_feature_is_in_the_documentation() {
        let page = include_str!("../../docs/kernel-features.md");
        for feature in kernel_features(None) {
            for word in feature.name.split([' ', ',']).filter(|word| word.contains(['_', '.', '2', '3'])) {
                assert!(page.contains(word), "{word} of {}", feature.name);
            }
            assert!(page.contains(feature.since), "{feature:?}");
        }
    }
}
