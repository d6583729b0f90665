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
    sync::{Notify, watch as latest},
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
    /// The last spawn that was under way is over.
    spawned: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Known {
    processes: HashMap<u32, latest::Sender<Option<Exit>>>,
    /// How many callers make children that are not registered yet, or that they wait for themselves.
    spawns: usize,
}

/// Tells of one process's exit, as often as asked. Clones tell the same.
#[derive(Clone, Debug)]
pub struct ExitReceiver(latest::Receiver<Option<Exit>>);

/// While it lives, only registered children are reaped: any other may be a process that is about to be registered, or
/// one that its maker waits for, as a hook is.
#[derive(Debug)]
#[must_use = "hold it from before the spawn until the process is registered or waited for"]
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
                tokio::select! {
                    child = children.recv() => if child.is_none() { return },
                    () = orphans.spawned.notified() => {}
                }
            }
        });
        Ok(reaper)
    }

    /// To be held around every spawn of a child, and around calls that make children and wait for them.
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
        self.lock().processes.insert(pid, sender);
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

    /// Reaps every child that raised SIGCHLD: tells of those that are known, forgets the others. While a spawn is under
    /// way it does nothing; the end of the last one makes up for it.
    fn reap_all(&self) {
        loop {
            // Held over the wait, so that no spawn begins between the look and the wait.
            let mut known = self.lock();
            if known.spawns > 0 {
                return;
            }
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let status = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => code.unsigned_abs(),
                        (None, Some(signal)) => 128 + signal.unsigned_abs(),
                        (None, None) => continue,
                    };
                    if let Some(process) = known.processes.remove(&pid.as_raw_nonzero().get().unsigned_abs())
                    {
                        process.send_replace(Some(Exit { status, at: SystemTime::now() }));
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
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
            self.0.spawned.notify_one();
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

#[cfg(test)]
#[path = "reaper_tests.rs"]
mod tests;
