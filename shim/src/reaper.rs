//! Exits: each process's own through its pidfd, and those of orphans that the kernel gave to the shim.
//!
//! Orphans come because the shim is a subreaper: whatever a container's process leaves behind in the host's pid
//! namespace ends here. Must not know what a process was for.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::process::{WaitId, WaitIdOptions, WaitOptions};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
    sync::watch as latest,
};

use crate::readiness::watch;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, or 128 plus the number of the signal that ended it.
    pub status: u32,
    /// When the shim learned of it.
    pub at: SystemTime,
}

/// The status of a process whose real one is unknown (it was reaped by somebody else).
pub const UNKNOWN_STATUS: u32 = 255;

/// `__WALL` of wait(2): also children that do not raise SIGCHLD, as containers' processes are before their execve.
const WAIT_ALL: WaitIdOptions = WaitIdOptions::from_bits_retain(0x4000_0000);

/// Knows every process that somebody waits for. Clones share the same processes.
#[derive(Clone, Debug, Default)]
pub struct Reaper {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    processes: HashMap<u32, latest::Sender<Option<Exit>>>,
    /// Exits of unregistered children, kept while a spawn is under way: one of them may be the new process.
    early: HashMap<u32, Exit>,
    spawns: usize,
}

/// Tells of one process's exit, as often as asked. Clones tell the same.
#[derive(Clone, Debug)]
pub struct ExitReceiver(latest::Receiver<Option<Exit>>);

/// While it lives, no exit of a child that is not registered yet is thrown away.
#[derive(Debug)]
#[must_use = "hold it from before the spawn until the process is registered"]
pub struct SpawnGuard(Reaper);

impl Reaper {
    /// Starts to reap orphans, on the current tokio runtime.
    ///
    /// # Errors
    /// When the SIGCHLD handler cannot be installed.
    pub fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut children = signal(SignalKind::child())?;
        let orphans = reaper.clone();
        tokio::spawn(async move {
            loop {
                orphans.reap_all();
                if children.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    /// To be held around every spawn of a child: the child may be gone before its number is known here.
    pub fn spawning(&self) -> SpawnGuard {
        self.lock().spawns += 1;
        SpawnGuard(self.clone())
    }

    /// Watches the child `pid`, whose pidfd is `pidfd`. It is reaped as soon as it exits.
    ///
    /// # Errors
    /// When the pidfd cannot be duplicated or watched.
    pub fn register(&self, pid: u32, pidfd: BorrowedFd<'_>) -> io::Result<ExitReceiver> {
        let pidfd = watch(pidfd.try_clone_to_owned()?, Interest::READABLE)?;
        let (sender, receiver) = latest::channel(None);
        {
            let mut known = self.lock();
            match known.early.remove(&pid) {
                // Reaped between its spawn and now. The pidfd tells it from an orphan that had the number before.
                Some(exit) if has_exited(pidfd.get_ref()) => {
                    sender.send_replace(Some(exit));
                    return Ok(ExitReceiver(receiver));
                }
                _ => known.processes.insert(pid, sender),
            };
        }
        let reaper = self.clone();
        tokio::spawn(async move { reaper.await_exit(pid, pidfd).await });
        Ok(ExitReceiver(receiver))
    }

    async fn await_exit(&self, pid: u32, pidfd: AsyncFd<OwnedFd>) {
        let status = loop {
            let mut ready = match pidfd.readable().await {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(pid, %error, "wait for the exit of a process");
                    break UNKNOWN_STATUS;
                }
            };
            match reap(pidfd.get_ref()) {
                Ok(Some(status)) => break status,
                Ok(None) => ready.clear_ready(),
                // The orphans' loop was faster and has told already; else whoever reaped it keeps the status.
                Err(rustix::io::Errno::CHILD) => break UNKNOWN_STATUS,
                Err(error) => {
                    tracing::error!(pid, %error, "reap a process");
                    break UNKNOWN_STATUS;
                }
            }
        };
        if let Some(process) = self.lock().processes.remove(&pid) {
            process.send_replace(Some(Exit { status, at: SystemTime::now() }));
        }
    }

    /// Reaps every child that raised SIGCHLD: tells of those that are known, forgets the others.
    fn reap_all(&self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let status = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => code.unsigned_abs(),
                        (None, Some(signal)) => 128 + signal.unsigned_abs(),
                        (None, None) => continue,
                    };
                    let pid = pid.as_raw_nonzero().get().unsigned_abs();
                    self.tell(pid, Exit { status, at: SystemTime::now() });
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn tell(&self, pid: u32, exit: Exit) {
        let mut known = self.lock();
        if let Some(process) = known.processes.remove(&pid) {
            process.send_replace(Some(exit));
        } else if known.spawns > 0 {
            known.early.insert(pid, exit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SpawnGuard {
    fn drop(&mut self) {
        let mut known = self.0.lock();
        known.spawns -= 1;
        if known.spawns == 0 {
            known.early = HashMap::new();
        }
    }
}

impl ExitReceiver {
    /// The exit, once it happened; at once when it already has.
    pub async fn wait(&mut self) -> Exit {
        match self.0.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            // The sender lives in the reaper until it has told; without a reaper nobody knows.
            Ok(None) | Err(_) => Exit { status: UNKNOWN_STATUS, at: SystemTime::now() },
        }
    }

    /// The exit, if it has happened.
    pub fn exit(&self) -> Option<Exit> {
        *self.0.borrow()
    }
}

/// Reaps the child behind a pidfd without blocking. `None`: still running.
fn reap(pidfd: &OwnedFd) -> rustix::io::Result<Option<u32>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WAIT_ALL;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
    Ok(status.and_then(|status| match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(code.unsigned_abs()),
        (None, Some(signal)) => Some(128 + signal.unsigned_abs()),
        (None, None) => None,
    }))
}

fn has_exited(pidfd: &OwnedFd) -> bool {
    let mut poll = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut poll, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))
        .is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
#[path = "reaper_tests.rs"]
mod tests;
