//! The processes of a cgroup: listing, signalling, killing.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::error::{Error, Result, ignore_gone};
use crate::subtree::{Visitor, walk};

const FILE: &str = "cgroup.procs";

/// How many pidfds are held at a time while signalling.
const SIGNAL_BATCH: usize = 64;

/// How long stopping the processes may take before they are killed one by one without it. Stopping only keeps
/// them from forking meanwhile.
const FREEZE_TIMEOUT: Duration = Duration::from_millis(500);

/// Rounds of killing one by one, for processes that forked during the round before.
const KILL_ROUNDS: usize = 32;

impl Cgroup {
    /// The processes of the cgroup and of those below it, as this process's pid namespace numbers them; one that
    /// it does not see is left out.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let mut collector = Collector { pids: Vec::new() };
        walk(&self.directory, &mut collector)?;
        Ok(collector.pids)
    }

    /// Opens the cgroup that a process is in: this one, or one below it.
    ///
    /// # Errors
    /// [`Error::Call`] when the process or its cgroup is gone, [`Error::Format`] when it is in another.
    pub fn of_process(&self, pid: u32) -> Result<OwnedFd> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let content = std::fs::read_to_string(&path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::call("read", &path, errno)
        })?;
        let below = content
            .lines()
            .find_map(|line| line.strip_prefix("0::/")?.strip_prefix(self.path.relative()))
            .filter(|below| below.is_empty() || below.starts_with('/'))
            .ok_or_else(|| Error::format(&path, "cgroup of the container", &content))?;
        let below = below.trim_start_matches('/');
        self.directory.open_below(if below.is_empty() { "." } else { below }).map(Directory::into_descriptor)
    }

    /// Sends a signal to every process of the cgroup and of those below it. Processes that are gone are passed
    /// over; those that are forked meanwhile may be missed, so use [`Self::kill_all`] to kill.
    ///
    /// # Errors
    /// The first [`Error::Signal`], after all processes have been tried.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let mut sender = Sender { signal, first_failure: None };
        walk(&self.directory, &mut sender)?;
        sender.first_failure.map_or(Ok(()), Err)
    }

    /// Kills every process of the cgroup and of those below it, forks included. It does not wait for their end,
    /// see [`Self::wait_until_empty`]. A cgroup that is gone has nothing to kill.
    ///
    /// # Errors
    /// [`Error::Write`] or, before Linux 5.14, [`Error::Signal`].
    pub fn kill_all(&self) -> Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(Error::FileMissing { .. }) => ignore_gone(self.kill_one_by_one()),
            other => ignore_gone(other),
        }
    }

    /// What `cgroup.kill` does, for kernels without it.
    fn kill_one_by_one(&self) -> Result<()> {
        // A frozen process still dies of SIGKILL (cgroup-v2, "cgroup.freeze"). When they cannot be stopped in
        // time, the rounds below still converge unless they fork faster than they are killed.
        drop(self.freeze(Instant::now() + FREEZE_TIMEOUT));
        let mut killed = self.signal_all(Signal::KILL);
        drop(self.write("cgroup.freeze", "0"));
        for _ in 1..KILL_ROUNDS {
            if !self.is_populated()? {
                return Ok(());
            }
            killed = self.signal_all(Signal::KILL);
        }
        killed
    }
}

fn pids_of(directory: &Directory) -> Result<Vec<Pid>> {
    let content = match directory.read(FILE) {
        Ok(content) => content,
        // The file of a threaded cgroup cannot be read; its processes are those of the domain above it.
        Err(Error::Call { source: Errno::OPNOTSUPP, .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut pids = Vec::new();
    for line in content.lines() {
        let pid =
            line.parse().map_err(|_| Error::format(&directory.path().join(FILE), "list of pids", line))?;
        // 0 stands for a process that this pid namespace does not see; to kill(2) it would mean ourselves.
        if let Some(pid) = Pid::from_raw(pid) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

struct Collector {
    pids: Vec<Pid>,
}

impl Visitor for Collector {
    fn enter(&mut self, directory: &Directory) -> Result<()> {
        self.pids.extend(pids_of(directory)?);
        Ok(())
    }

    fn leave(&mut self, _parent: &Directory, _name: &CStr) -> Result<()> {
        Ok(())
    }
}

struct Sender {
    signal: Signal,
    first_failure: Option<Error>,
}

impl Visitor for Sender {
    fn enter(&mut self, directory: &Directory) -> Result<()> {
        for batch in pids_of(directory)?.chunks(SIGNAL_BATCH) {
            let mut handles = Vec::with_capacity(batch.len());
            for pid in batch {
                match pidfd_open(*pid, PidfdFlags::empty()) {
                    Ok(handle) => handles.push((*pid, handle)),
                    Err(Errno::SRCH) => {}
                    Err(errno) => self.failed(directory, *pid, errno),
                }
            }
            // A pid may have been reused before its pidfd was taken. One that is listed again now is the
            // process that the pidfd stands for.
            let members = pids_of(directory)?;
            for (pid, handle) in handles.iter().filter(|(pid, _)| members.contains(pid)) {
                match pidfd_send_signal(handle, self.signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => self.failed(directory, *pid, errno),
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, _parent: &Directory, _name: &CStr) -> Result<()> {
        Ok(())
    }
}

impl Sender {
    fn failed(&mut self, directory: &Directory, pid: Pid, source: Errno) {
        self.first_failure.get_or_insert_with(|| Error::Signal {
            signal: self.signal.as_raw(),
            pid: pid.as_raw_nonzero().get(),
            cgroup: directory.path().to_owned(),
            source,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::cgroup::tests::stand_in_cgroup;
    use crate::hierarchy::Hierarchy;
    use crate::path::CgroupPath;

    #[test]
    fn processes_below_are_listed_and_unseen_ones_left_out() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "", &[]);
        std::fs::create_dir_all(root.path().join("box/a/b")).unwrap();
        std::fs::write(root.path().join("box/cgroup.procs"), "12\n0\n").unwrap();
        std::fs::write(root.path().join("box/a/cgroup.procs"), "").unwrap();
        std::fs::write(root.path().join("box/a/b/cgroup.procs"), "14\n13\n").unwrap();
        let mut pids: Vec<i32> =
            cgroup.processes().unwrap().iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        pids.sort_unstable();
        assert_eq!(pids, [12, 13, 14]);
    }

    /// Needs root and a cgroup2 mount.
    #[test]
    fn kernels_without_cgroup_kill_are_served_too() {
        let path = format!("/ballast-test-{}-kill", std::process::id());
        let cgroup = Hierarchy::discover().unwrap().create(&CgroupPath::parse(&path).unwrap()).unwrap();
        let inner = cgroup.directory_path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mut children = Vec::new();
        for directory in [cgroup.directory_path(), &inner] {
            for _ in 0..40 {
                let child = Command::new("sleep").arg("1000").spawn().unwrap();
                std::fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
                children.push(child);
            }
        }
        assert_eq!(cgroup.processes().unwrap().len(), 80);
        let killed = cgroup.kill_one_by_one();
        for child in &mut children {
            child.wait().unwrap();
        }
        killed.unwrap();
        cgroup.delete(Instant::now() + Duration::from_secs(20)).unwrap();
    }
}
