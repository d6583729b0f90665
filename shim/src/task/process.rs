//! What init and exec'ed processes have in common on the shim's side: the process, its exit and its streams.
//!
//! Must not know states or events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ballast_runtime::Process;

use super::errors::TaskError;
use crate::{
    io::{IoError, LoggerIdentity, Opened, Stdio, Streams, TerminalSize},
    reaper::{ExitReceiver, Reaper},
};

/// A spawned process that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) process: Arc<Process>,
    pub(super) exit: ExitReceiver,
}

/// Watches a new process. After a failure it is to be [destroyed](destroy).
pub(super) fn watch(process: &Process, reaper: &Reaper) -> Result<ExitReceiver, TaskError> {
    reaper
        .register(process.pid(), process.pidfd())
        .map_err(|source| TaskError::Watch { pid: process.pid(), source })
}

/// Connects the streams of a process that is watched.
pub(super) fn connect(process: &Process, opened: Opened, exit: &ExitReceiver) -> Result<Streams, TaskError> {
    let mut ended = exit.clone();
    let ended = async move {
        ended.wait().await;
    };
    Ok(opened.attach(process.take_terminal(), ended)?)
}

/// Kills a process that is watched, and so will be reaped.
pub(super) fn kill(process: &Process) {
    if let Err(error) = process.signal(rustix::process::Signal::KILL.as_raw()) {
        tracing::debug!(pid = process.pid(), error = ballast_runtime::report(&error), "kill");
    }
}

/// Ends a process that nobody watches. Blocks until it is gone.
pub(super) fn destroy(process: &Process) {
    use rustix::event::{PollFd, PollFlags, poll};
    kill(process);
    let mut ended = [PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN)];
    if let Err(error) = rustix::io::retry_on_intr(|| poll(&mut ended, None)) {
        tracing::debug!(pid = process.pid(), %error, "wait for the end of a process");
    }
    if let Err(error) = ballast_runtime::sys::wait::reap(process.pidfd()) {
        tracing::debug!(pid = process.pid(), %error, "reap");
    }
}

/// A process's streams over its whole life: what is asked of them before they exist is remembered.
#[derive(Debug)]
pub(super) struct StreamsOfProcess {
    pub(super) stdio: Stdio,
    stage: Mutex<Stage>,
}

#[derive(Debug)]
enum Stage {
    Unopened { stdin_closed: bool, size: Option<TerminalSize> },
    Open(Arc<Streams>),
    Released,
}

impl StreamsOfProcess {
    pub(super) fn new(stdio: Stdio) -> Self {
        Self { stdio, stage: Mutex::new(Stage::Unopened { stdin_closed: false, size: None }) }
    }

    /// Opens what the client named. Blocks.
    pub(super) fn open(
        &self,
        identity: &LoggerIdentity,
        reaper: &Reaper,
    ) -> Result<(ballast_runtime::ProcessIo, Opened), IoError> {
        let size = match &*self.stage() {
            Stage::Unopened { size, .. } => *size,
            Stage::Open(_) | Stage::Released => None,
        };
        crate::io::open(&self.stdio, size, identity, reaper)
    }

    /// The streams are connected; what was asked before is made up for.
    pub(super) fn opened(&self, streams: Streams) {
        let mut stage = self.stage();
        if let Stage::Unopened { stdin_closed, size } = *stage {
            if stdin_closed {
                streams.close_stdin();
            }
            // The first size was set at the spawn; this one may have come since.
            if let Some(Err(error)) = size.map(|size| streams.resize(size)) {
                tracing::warn!(error = ballast_runtime::report(&error), "resize terminal");
            }
            *stage = Stage::Open(Arc::new(streams));
        }
    }

    pub(super) fn close_stdin(&self) {
        match &mut *self.stage() {
            Stage::Unopened { stdin_closed, .. } => *stdin_closed = true,
            Stage::Open(streams) => streams.close_stdin(),
            Stage::Released => {}
        }
    }

    pub(super) fn resize(&self, to: TerminalSize) -> Result<(), IoError> {
        match &mut *self.stage() {
            Stage::Unopened { size, .. } => {
                *size = Some(to);
                Ok(())
            }
            Stage::Open(streams) => streams.resize(to),
            Stage::Released => Ok(()),
        }
    }

    /// Passes on what is left of the output, for a bounded time, and closes everything.
    pub(super) async fn release(&self) {
        let stage = std::mem::replace(&mut *self.stage(), Stage::Released);
        if let Stage::Open(streams) = stage {
            streams.finish().await;
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_before_the_streams_exist_is_made_up_for() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("stdin");
        let mode = rustix::fs::Mode::from_raw_mode(0o700);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let stdio = Stdio { stdin: fifo.to_str().unwrap().to_owned(), ..Stdio::default() };
        let process = StreamsOfProcess::new(stdio);
        process.close_stdin();
        let identity = LoggerIdentity { id: "e".into(), namespace: "test".into() };
        let (io, opened) = process.open(&identity, &Reaper::default()).unwrap();
        process.opened(opened.attach(None, std::future::pending()).unwrap());
        let ballast_runtime::ProcessIo::Streams { stdin: Some(stdin), .. } = io else { panic!("no stdin") };
        // Without the remembered request this would wait for ever: the shim would hold the other end.
        assert_eq!(rustix::io::read(&stdin, &mut [0_u8; 1]).unwrap(), 0);
    }
}
