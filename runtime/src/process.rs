//! A process of a container as the shim holds it: its pidfd, and the line to it until its `execve`.

use crate::container::{Sysinfo, send_listener};
use crate::error::{CallContext, Error};
use crate::plan::IdMaps;
use crate::plan::wire::{Descriptor, StdioPlan};
use crate::seccomp::Listener;
use crate::spawn::{Channel, ChannelError, ChildMessage, Descriptors, RuntimeMessage, Spawned};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchown, fstat, open};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, Signal, pidfd_getfd};
use std::sync::{Mutex, PoisonError};

const PEER: &str = "the new process";

/// What a process reads and writes.
#[derive(Debug)]
pub enum ProcessIo {
    /// Descriptors of its own; `None` is `/dev/null`. A FIFO is given to the process's user, so that `/dev/stdout` can be
    /// opened again.
    Streams {
        /// Standard input.
        stdin: Option<OwnedFd>,
        /// Standard output.
        stdout: Option<OwnedFd>,
        /// Standard error.
        stderr: Option<OwnedFd>,
    },
    /// A pty of the container's devpts; [`Process::take_terminal`] has its master.
    Terminal {
        /// Rows and columns to begin with.
        size: Option<(u16, u16)>,
    },
}

impl ProcessIo {
    /// Puts the descriptors beside the plan.
    pub(crate) fn plan(
        self,
        user: (u32, u32),
        maps: Option<IdMaps<'_>>,
        descriptors: &mut Descriptors<'_>,
    ) -> Result<StdioPlan, Error> {
        let [stdin, stdout, stderr] = match self {
            Self::Terminal { size } => return Ok(StdioPlan::Terminal { size }),
            Self::Streams { stdin, stdout, stderr } => [stdin, stdout, stderr],
        };
        let owner = match maps {
            None => Some(user),
            Some(maps) => maps.host_uid(user.0).zip(maps.host_gid(user.1)),
        };
        let mut add = |stream: Option<OwnedFd>| -> Result<Descriptor, Error> {
            let stream = match stream {
                Some(stream) => stream,
                None => open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
                    .call("open", || "/dev/null".into())?,
            };
            if let Some(owner) = owner {
                give_fifo_to(&stream, owner).call("fchown", || format!("standard stream, {owner:?}"))?;
            }
            Ok(descriptors.add(stream))
        };
        Ok(StdioPlan::Streams([add(stdin)?, add(stdout)?, add(stderr)?]))
    }
}

fn give_fifo_to(stream: &OwnedFd, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    let status = fstat(stream)?;
    let is_fifo = FileType::from_raw_mode(status.st_mode) == FileType::Fifo;
    if !is_fifo || (status.st_uid, status.st_gid) == (uid, gid) {
        return Ok(());
    }
    fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// A process that was spawned. [`Process::start`] takes it to its `execve`.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    pidfd: OwnedFd,
    control: Channel,
    before_execve: BeforeExecve,
    terminal: Mutex<Option<OwnedFd>>,
    listeners: Listeners,
}

/// What a process does on its way to `execve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeExecve {
    /// It stops when everything else is done, until it is released: containerd's Create and Start are two calls.
    Parks,
    /// It goes straight on.
    GoesOn,
}

/// Where the listeners of a process's seccomp filters go, if it has such filters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listeners {
    /// That of the spec's profile.
    pub(crate) agent: Option<ListenerTarget>,
    /// That of the filter that asks about `sysinfo`.
    pub(crate) sysinfo: Option<Sysinfo>,
}

/// Where the descriptor of a seccomp notifier goes, and the state that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct ListenerTarget {
    pub(crate) listener: Listener,
    pub(crate) state: crate::hooks::State,
}

impl Process {
    /// Accompanies a new process until it is parked. `rootfs_mounted` runs when its root file system is mounted and the
    /// root has not changed yet. When this fails the process is dead and reaped.
    pub(crate) fn park(
        spawned: Spawned,
        listeners: Listeners,
        rootfs_mounted: impl FnOnce(u32) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let Spawned { pid, pidfd, control } = spawned;
        let terminal = Mutex::default();
        let process = Self { pid, pidfd, control, before_execve: BeforeExecve::Parks, terminal, listeners };
        match process.wait_until_parked(rootfs_mounted) {
            Ok(()) => Ok(process),
            Err(error) => {
                process.destroy();
                Err(error)
            }
        }
    }

    /// Takes over a process that does not park.
    pub(crate) fn under_way(spawned: Spawned, listeners: Listeners) -> Self {
        let Spawned { pid, pidfd, control } = spawned;
        let terminal = Mutex::default();
        Self { pid, pidfd, control, before_execve: BeforeExecve::GoesOn, terminal, listeners }
    }

    fn wait_until_parked(&self, rootfs_mounted: impl FnOnce(u32) -> Result<(), Error>) -> Result<(), Error> {
        let mut rootfs_mounted = Some(rootfs_mounted);
        loop {
            match self.receive()? {
                (ChildMessage::Ready, _) => return Ok(()),
                (ChildMessage::Terminal, descriptors) => self.keep_terminal(descriptors),
                (ChildMessage::RootfsMounted, _) => {
                    if let Some(run) = rootfs_mounted.take() {
                        run(self.pid)?;
                    }
                    self.release()?;
                }
                (ChildMessage::Failed(error), _) => return Err(error.into()),
                (
                    ChildMessage::SeccompListener { .. }
                    | ChildMessage::SysinfoListener
                    | ChildMessage::ViewChanged { .. },
                    _,
                ) => return Err(channel_error(ChannelError::Closed)),
            }
        }
    }

    /// Lets the process go on to its `execve` if it waits for that; returns when the `execve` has succeeded.
    ///
    /// # Errors
    /// The step that failed, for example that the file is no executable for this machine. The process then ends and is to
    /// be reaped as any other.
    pub fn start(&self) -> Result<(), Error> {
        if self.before_execve == BeforeExecve::Parks {
            self.release()?;
        }
        loop {
            match self.receive() {
                // The channel is close-on-exec: its end is the success.
                Err(Error::Channel { source: ChannelError::Closed, .. }) => return Ok(()),
                Err(error) => return Err(error),
                Ok((ChildMessage::Failed(error), _)) => return Err(error.into()),
                Ok((ChildMessage::Terminal, descriptors)) => self.keep_terminal(descriptors),
                Ok((ChildMessage::SysinfoListener, listener)) => self.answer_sysinfo(listener)?,
                Ok((ChildMessage::SeccompListener { descriptor }, _)) => {
                    self.hand_over_listener(descriptor)?;
                    self.release()?;
                }
                Ok(_) => return Err(channel_error(ChannelError::Closed)),
            }
        }
    }

    fn answer_sysinfo(&self, listener: Vec<OwnedFd>) -> Result<(), Error> {
        match (&self.listeners.sysinfo, listener.into_iter().next()) {
            (Some(sysinfo), Some(listener)) => Ok(sysinfo.attendant.attend(listener)?),
            _ => Err(channel_error(ChannelError::Closed)),
        }
    }

    fn hand_over_listener(&self, descriptor: i32) -> Result<(), Error> {
        let Some(target) = &self.listeners.agent else { return Ok(()) };
        let notifier = pidfd_getfd(&self.pidfd, descriptor, PidfdGetfdFlags::empty())
            .call("pidfd_getfd", || format!("seccomp notifier {descriptor}"))?;
        send_listener(target, self.pid, &notifier)
    }

    /// Its pid in the shim's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pidfd: readable when it has ended, and the only sign of an end before its `execve`.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The master of its pty, once. A container's first process has it from the beginning, others when they have started.
    pub fn take_terminal(&self) -> Option<OwnedFd> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_terminal(&self, descriptors: Vec<OwnedFd>) {
        *self.terminal.lock().unwrap_or_else(PoisonError::into_inner) = descriptors.into_iter().next();
    }

    /// Sends it a signal. Does not block.
    ///
    /// # Errors
    /// [`Error::ProcessFinished`] when it has ended.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        send_signal(self.pidfd(), signal)
    }

    /// Kills and reaps it.
    pub(crate) fn destroy(&self) {
        // It may have ended by itself, which is as good.
        let _ended = self.signal(Signal::KILL.as_raw());
        let _reaped = sys::wait::reap_blocking(self.pidfd());
    }

    fn receive(&self) -> Result<(ChildMessage, Vec<OwnedFd>), Error> {
        self.control.receive().map_err(channel_error)
    }

    fn release(&self) -> Result<(), Error> {
        self.control.send(&RuntimeMessage::Continue, &[]).map_err(channel_error)
    }
}

/// Sends a signal by pidfd.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Error> {
    match sys::pidfd_send_signal(pidfd, signal) {
        Err(Errno::SRCH) => Err(Error::ProcessFinished),
        result => Ok(result.call("pidfd_send_signal", || format!("signal {signal}"))?),
    }
}

fn channel_error(source: ChannelError) -> Error {
    Error::Channel { peer: PEER, source }
}
