//! Standard streams of containers' processes. Must not know what a task is.
//!
//! Without a terminal nothing is copied: the process gets the FIFO, file or pipe itself, and the shim keeps the other
//! end of a FIFO so that the stream outlives a restart of containerd. The shim holds no write end of an output, so its
//! reader sees the end when the last process of the container closes it. With a terminal the shim copies.

mod error;
mod logger;
mod open;
mod stream;
mod terminal;
mod uri;

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ballast_runtime::ProcessIo;

pub use self::{error::IoError, logger::LoggerIdentity, terminal::TerminalSize};
use self::{
    logger::{Logger, LoggerPipes},
    terminal::Terminal,
    uri::Output,
};
use crate::reaper::Reaper;

/// How long a Delete waits for terminal output that nobody takes.
const DRAIN_BOUND: Duration = Duration::from_secs(10);

/// What a client asks for, as it came: FIFO paths or URIs, empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// Whether the process has a terminal.
    pub terminal: bool,
    /// Where input comes from.
    pub stdin: String,
    /// Where output goes; its URI scheme speaks for both outputs.
    pub stdout: String,
    /// Where errors go; unused with a terminal.
    pub stderr: String,
}

/// The shim's part of opened streams, until the process is there.
#[derive(Debug)]
pub struct Opened {
    kept: Vec<OwnedFd>,
    stdin_writer: Option<OwnedFd>,
    logger: Option<Logger>,
    /// What the terminal is copied from and to, when there is one.
    terminal: Option<TerminalEnds>,
}

#[derive(Debug, Default)]
struct TerminalEnds {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
}

/// The shim's part of a process's streams.
#[derive(Debug)]
pub struct Streams {
    terminal: Option<Terminal>,
    held: Mutex<Held>,
}

/// What is held open, or runs, for the client's sake.
#[derive(Debug)]
struct Held {
    kept: Vec<OwnedFd>,
    stdin_writer: Option<OwnedFd>,
    logger: Option<Logger>,
}

/// Opens everything that `stdio` names. Blocks: a logging program has to start first.
///
/// # Errors
/// The stream that cannot be opened or is not supported, by its name. What was opened before it is closed.
pub fn open(
    stdio: &Stdio,
    size: Option<TerminalSize>,
    identity: &LoggerIdentity,
    reaper: &Reaper,
) -> Result<(ProcessIo, Opened), IoError> {
    let mut opened = Opened { kept: Vec::new(), stdin_writer: None, logger: None, terminal: None };
    let stdin = match uri::path("stdin", &stdio.stdin)? {
        Some(path) => {
            let ends = open::input(&path)?;
            opened.stdin_writer = ends.kept;
            Some(ends.process)
        }
        None => None,
    };
    // A terminal merges both outputs.
    let stderr = if stdio.terminal { "" } else { &stdio.stderr };
    let (stdout, stderr) = match uri::output(&stdio.stdout, stderr)? {
        Output::Paths { stdout, stderr } => {
            let mut open = |stream, path: Option<std::path::PathBuf>| -> Result<Option<OwnedFd>, IoError> {
                let Some(path) = path else { return Ok(None) };
                let ends = open::output(stream, &path)?;
                opened.kept.extend(ends.kept);
                Ok(Some(ends.process))
            };
            (open("stdout", stdout)?, open("stderr", stderr)?)
        }
        Output::File(path) => {
            let file = open::log_file(&path)?;
            let same = file.try_clone().map_err(IoError::call("fcntl(F_DUPFD_CLOEXEC)", "standard error"))?;
            (Some(file), Some(same))
        }
        Output::Logger(command) => {
            let (logger, LoggerPipes { stdout, stderr }) = Logger::start(&command, identity, reaper)?;
            opened.logger = Some(logger);
            (Some(stdout), Some(stderr))
        }
    };
    if stdio.terminal {
        opened.terminal = Some(TerminalEnds { stdin, stdout });
        let size = size.map(|TerminalSize { rows, columns }| (rows, columns));
        return Ok((ProcessIo::Terminal { size }, opened));
    }
    Ok((ProcessIo::Streams { stdin, stdout, stderr }, opened))
}

impl Opened {
    /// Takes the process's terminal, if it is to have one, and starts to copy. To be called on the event loop; `ended`
    /// resolves at the process's end.
    ///
    /// # Errors
    /// When the terminal is missing or cannot be watched.
    pub fn attach(
        self,
        master: Option<OwnedFd>,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Streams, IoError> {
        let Self { kept, stdin_writer, logger, terminal } = self;
        let terminal = match (terminal, master) {
            (Some(ends), Some(master)) => Some(Terminal::start(master, ends.stdin, ends.stdout, ended)?),
            (Some(_), None) => return Err(IoError::NoTerminal),
            (None, _) => None,
        };
        Ok(Streams { terminal, held: Mutex::new(Held { kept, stdin_writer, logger }) })
    }
}

impl Streams {
    /// Lets the process see the end of its input, as soon as the client has closed its end, too.
    pub fn close_stdin(&self) {
        self.held().stdin_writer = None;
    }

    /// Sets the terminal's size. Without a terminal there is nothing to set.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn resize(&self, size: TerminalSize) -> Result<(), IoError> {
        self.terminal.as_ref().map_or(Ok(()), |terminal| terminal.resize(size))
    }

    /// Waits until what the process wrote has been passed on, for a bounded time, and releases everything.
    pub async fn finish(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.finish(DRAIN_BOUND).await;
        }
        let logger = {
            let mut held = self.held();
            held.kept = Vec::new();
            held.stdin_writer = None;
            held.logger.take()
        };
        if let Some(logger) = logger {
            logger.stop().await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
