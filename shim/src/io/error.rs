//! What can go wrong with standard streams. Must not know what a task is.

use std::{io, path::PathBuf};

use rustix::io::Errno;

/// Why a process's standard streams cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// A URI of a kind that Ballast does not serve.
    #[error("{stream} has a URI of scheme {scheme:?}: supported are {supported} and plain paths")]
    UnsupportedScheme {
        /// `stdin`, `stdout` or `stderr`.
        stream: &'static str,
        /// The scheme.
        scheme: String,
        /// What would be possible.
        supported: &'static str,
    },
    /// A URI that cannot be followed.
    #[error("URI {uri:?}: {reason}")]
    InvalidUri {
        /// The URI as it was given.
        uri: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A stream's path cannot be opened.
    #[error("open {} ({flags}) for {stream}", path.display())]
    Open {
        /// `stdin`, `stdout` or `stderr`.
        stream: &'static str,
        /// Its path.
        path: PathBuf,
        /// The flags of open(2) that matter.
        flags: &'static str,
        /// The cause.
        source: Errno,
    },
    /// A stream's path is neither FIFO, file nor device.
    #[error("{} cannot be {stream}: it is a {kind}", path.display())]
    NotAStream {
        /// `stdin`, `stdout` or `stderr`.
        stream: &'static str,
        /// Its path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The directory of a log file cannot be made.
    #[error("create directory {}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A system call on a stream failed.
    #[error("{call} for {purpose}")]
    Call {
        /// The call.
        call: &'static str,
        /// What it was for.
        purpose: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The logging program cannot be executed.
    #[error("start logging program {}", program.display())]
    StartLogger {
        /// Its path.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The logging program did not say that it is ready.
    #[error("logging program {} {problem}", program.display())]
    LoggerNotReady {
        /// Its path.
        program: PathBuf,
        /// What it did instead.
        problem: &'static str,
    },
    /// The runtime returned no pty for a process that was to have one.
    #[error("the process has no terminal although one was asked for")]
    NoTerminal,
}

impl IoError {
    /// Whether the request itself is wrong, so that sending it again cannot help.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        matches!(
            self,
            Self::UnsupportedScheme { .. }
                | Self::InvalidUri { .. }
                | Self::NotAStream { .. }
                | Self::Open { .. }
        )
    }

    pub(super) fn call<E: Into<io::Error>>(
        call: &'static str,
        purpose: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Call { call, purpose, source: source.into() }
    }
}
