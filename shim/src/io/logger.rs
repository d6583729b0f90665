//! Runs a logging program that reads a container's output from pipes (containerd `core/runtime/v2/logging`).
//!
//! Its descriptors: 3 is the read end of standard output, 4 that of standard error, 5 the pipe to say that it is ready.
//! Must not know what it does with what it reads.

use std::{
    ffi::CString,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    time::Duration,
};

use nix::{
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags},
    sys::signal::{SigSet, Signal as SpawnSignal},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Mode, OFlags},
    pipe::PipeFlags,
    process::{Pid, PidfdFlags, Signal},
};
use tokio::time::timeout;

use super::{
    IoError,
    uri::{LoggerCommand, Readiness},
};
use crate::reaper::{ExitReceiver, Reaper};

/// How long a program may take to say that it is ready.
const READY_BOUND: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// How long it may take to end after SIGTERM. containerd promises loggers ten seconds to write what they have.
const END_BOUND: Duration = Duration::from_secs(12);
/// Above every descriptor that the program is to find in a fixed place.
const FIRST_FREE_DESCRIPTOR: RawFd = 10;

/// Whose output a logger gets.
#[derive(Clone, Debug)]
pub struct LoggerIdentity {
    /// The process: the container's id, or an exec'ed process's.
    pub id: String,
    /// containerd's namespace.
    pub namespace: String,
}

/// A running logging program. Killed when dropped before it was stopped.
#[derive(Debug)]
pub(super) struct Logger {
    program: PathBuf,
    pidfd: OwnedFd,
    exit: ExitReceiver,
}

/// What the process writes to.
#[derive(Debug)]
pub(super) struct LoggerPipes {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Logger {
    /// Starts the program and waits until it is ready. Blocks.
    pub(super) fn start(
        command: &LoggerCommand,
        identity: &LoggerIdentity,
        reaper: &Reaper,
    ) -> Result<(Self, LoggerPipes), IoError> {
        let (stdout_read, stdout) = pipe("standard output of a logging program")?;
        let (stderr_read, stderr) = pipe("standard error of a logging program")?;
        let (ready_read, ready_write) = pipe("readiness of a logging program")?;
        let start_error =
            |source: std::io::Error| IoError::StartLogger { program: command.program.clone(), source };
        let logger = {
            let _spawning = reaper.spawning();
            let pid = spawn(command, identity, [&stdout_read, &stderr_read, &ready_write])?;
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
                .map_err(|errno| start_error(errno.into()))?;
            let exit = reaper
                .register(pid.as_raw_nonzero().get().unsigned_abs(), rustix::fd::AsFd::as_fd(&pidfd))
                .map_err(start_error)?;
            Self { program: command.program.clone(), pidfd, exit }
        };
        drop(ready_write);
        logger.wait_until_ready(&ready_read, command.readiness)?;
        Ok((logger, LoggerPipes { stdout, stderr }))
    }

    fn wait_until_ready(&self, ready: &OwnedFd, readiness: Readiness) -> Result<(), IoError> {
        let not_ready = |problem| Err(IoError::LoggerNotReady { program: self.program.clone(), problem });
        let mut poll = [PollFd::new(ready, PollFlags::IN)];
        let answered = rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, Some(&READY_BOUND)))
            .map_err(IoError::call("poll", "readiness of a logging program"))?;
        if answered == 0 {
            return not_ready("did not say within 30 seconds that it is ready");
        }
        let length = rustix::io::retry_on_intr(|| rustix::io::read(ready, &mut [0_u8; 1]))
            .map_err(IoError::call("read", "readiness of a logging program"))?;
        match (readiness, length) {
            (Readiness::Byte, 0) => {
                not_ready("closed its ready pipe without a byte: it ended early or fell over")
            }
            _ => Ok(()),
        }
    }

    /// Asks the program to end, and makes it end.
    pub(super) async fn stop(mut self) {
        if self.exit.exit().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        if timeout(END_BOUND, self.exit.wait()).await.is_err() {
            tracing::warn!(program = %self.program.display(), "logging program did not end on SIGTERM: killed");
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!(program = %self.program.display(), %error, "signal logging program"),
        }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if self.exit.exit().is_none() {
            self.signal(Signal::KILL);
        }
    }
}

fn pipe(purpose: &'static str) -> Result<(OwnedFd, OwnedFd), IoError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(IoError::call("pipe2", purpose))
}

/// Not by `std`: what it offers for passing descriptors needs unsafe code, and its wait for a program that could not be
/// executed would race with the reaper.
fn spawn(
    command: &LoggerCommand,
    identity: &LoggerIdentity,
    descriptors: [&OwnedFd; 3],
) -> Result<Pid, IoError> {
    let call = |name| IoError::call::<std::io::Error>(name, "a logging program");
    let start_error = |source| IoError::StartLogger { program: command.program.clone(), source };
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| start_error(error.into()));

    let program = text(command.program.as_os_str().as_bytes())?;
    let mut arguments = vec![program.clone()];
    for argument in &command.arguments {
        arguments.push(text(argument.as_bytes())?);
    }
    let environment = [
        text(format!("CONTAINER_ID={}", identity.id).as_bytes())?,
        text(format!("CONTAINER_NAMESPACE={}", identity.namespace).as_bytes())?,
    ];

    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| call("open(/dev/null)")(errno.into()))?;
    let mut actions = PosixSpawnFileActions::init().map_err(|errno| start_error(errno.into()))?;
    let mut held = Vec::new();
    let targets =
        [(&null, 0), (&null, 1), (&null, 2), (descriptors[0], 3), (descriptors[1], 4), (descriptors[2], 5)];
    for (source, target) in targets {
        // A source below the last target could be overwritten before its turn.
        let source = rustix::io::fcntl_dupfd_cloexec(source, FIRST_FREE_DESCRIPTOR)
            .map_err(|errno| call("fcntl(F_DUPFD_CLOEXEC)")(errno.into()))?;
        actions.add_dup2(source.as_raw_fd(), target).map_err(|errno| start_error(errno.into()))?;
        held.push(source);
    }

    let mut defaults = SigSet::empty();
    // Ignored in the shim, and that would be inherited.
    defaults.add(SpawnSignal::SIGPIPE);
    let mut attributes = PosixSpawnAttr::init().map_err(|errno| start_error(errno.into()))?;
    attributes
        .set_sigdefault(&defaults)
        .and_then(|()| attributes.set_sigmask(&SigSet::empty()))
        .and_then(|()| {
            attributes
                .set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)
        })
        .map_err(|errno| start_error(errno.into()))?;

    let pid = nix::spawn::posix_spawn(program.as_c_str(), &actions, &attributes, &arguments, &environment)
        .map_err(|errno| start_error(errno.into()))?;
    Pid::from_raw(pid.as_raw()).ok_or_else(|| start_error(std::io::ErrorKind::InvalidData.into()))
}

#[cfg(test)]
#[path = "logger_tests.rs"]
mod tests;
