//! What can go wrong, with enough in it to act on: the step, the system call and its arguments, the errno.
//!
//! Display texts hold their own facts only and leave the cause to `source()`; [`report`] prints the chain once, where an
//! error leaves the program.

use crate::spawn::ChannelError;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What a caller may want to tell apart; the shim maps it to a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It does not exist, or does no longer.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The container is in no state for this.
    FailedPrecondition,
    /// The request or the spec cannot be carried out as written.
    InvalidArgument,
    /// This runtime does not do it.
    Unimplemented,
    /// The system refused.
    Internal,
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle or its `config.json` cannot be used.
    #[error(transparent)]
    Bundle(#[from] crate::bundle::BundleError),
    /// The spec asks for what cannot be done.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// The seccomp profile cannot be compiled.
    #[error("linux.seccomp")]
    Seccomp(#[from] crate::seccomp::Error),
    /// The container's cgroup.
    #[error("cgroup")]
    Cgroup(#[from] ballast_cgroups::Error),
    /// A system call of the shim's own.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A step of the new process.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] crate::hooks::HookError),
    /// The spawner, or the new process, cannot be talked to.
    #[error("{peer}")]
    Channel {
        /// Who was to answer.
        peer: &'static str,
        /// What happened.
        #[source]
        source: ChannelError,
    },
    /// The container has no view of `/proc`, and gets none once it is made.
    #[error("the container has no view of /proc")]
    NoView,
    /// Something that the container mounted does not answer.
    #[error(
        "the container's file systems did not answer within {bound_s} s: its view may be changed in part"
    )]
    ViewStuck {
        /// How long they had, in seconds.
        bound_s: u64,
    },
    /// The process has ended.
    #[error("process already finished")]
    ProcessFinished,
    /// Something failed, and undoing what came before it failed as well: this was left behind.
    #[error("{cause}; cleaning up failed too: {}", left.iter().map(|error| report(error)).collect::<Vec<_>>().join("; "))]
    CleanupFailed {
        /// What failed first.
        cause: String,
        /// Its class.
        kind: ErrorKind,
        /// What could not be undone.
        left: Vec<Error>,
    },
}

impl Error {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bundle(error) => error.kind(),
            Self::Plan(error) => error.kind(),
            Self::Seccomp(_) => ErrorKind::InvalidArgument,
            Self::Cgroup(error) => match error.kind() {
                ballast_cgroups::Kind::NotFound => ErrorKind::NotFound,
                ballast_cgroups::Kind::AlreadyExists => ErrorKind::AlreadyExists,
                ballast_cgroups::Kind::InvalidArgument => ErrorKind::InvalidArgument,
                ballast_cgroups::Kind::Unsupported => ErrorKind::Unimplemented,
                ballast_cgroups::Kind::FailedPrecondition => ErrorKind::FailedPrecondition,
                _ => ErrorKind::Internal,
            },
            Self::Step(error) => error.kind,
            Self::ProcessFinished => ErrorKind::NotFound,
            Self::NoView => ErrorKind::FailedPrecondition,
            Self::CleanupFailed { kind, .. } => *kind,
            Self::Call(_) | Self::Hook(_) | Self::Channel { .. } | Self::ViewStuck { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// Attaches what could not be undone after this error, if there is anything.
    #[must_use]
    pub(crate) fn with_cleanup(self, left: Vec<Self>) -> Self {
        if left.is_empty() {
            return self;
        }
        Self::CleanupFailed { cause: report(&self), kind: self.kind(), left }
    }
}

/// A system call that failed, as `strace` would print it.
#[derive(Debug, thiserror::Error)]
#[error("{call}({arguments})")]
pub struct CallError {
    /// The system call.
    pub call: &'static str,
    /// Its arguments, as far as they help.
    pub arguments: String,
    /// Why it failed.
    #[source]
    pub errno: Errno,
}

/// Adds the call and its arguments to an errno.
pub(crate) trait CallContext<T> {
    fn call(self, call: &'static str, arguments: impl FnOnce() -> String) -> Result<T, CallError>;
}

impl<T> CallContext<T> for Result<T, Errno> {
    fn call(self, call: &'static str, arguments: impl FnOnce() -> String) -> Result<T, CallError> {
        self.map_err(|errno| CallError { call, arguments: arguments(), errno })
    }
}

/// A step of the new process that failed, as it reports it to the shim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct StepError {
    /// The class of the error.
    pub kind: ErrorKind,
    /// What the process was doing, with its object: `mount proc on /proc`.
    pub step: String,
    /// The errno, when a system call refused.
    pub errno: Option<i32>,
}

impl StepError {
    /// A step that a system call refused.
    pub(crate) fn of(errno: Errno, step: String) -> Self {
        Self { kind: ErrorKind::Internal, step, errno: Some(errno.raw_os_error()) }
    }
}

impl std::fmt::Display for StepError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.step)?;
        match self.errno {
            Some(code) => write!(formatter, ": {}", cause(Errno::from_raw_os_error(code))),
            None => Ok(()),
        }
    }
}

/// The errno's text as a Go runtime writes it: containerd shows a step's failure to users, who look for `no such file or
/// directory`, as do their tools.
fn cause(errno: Errno) -> String {
    let text = errno.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// Adds the step to an errno.
pub(crate) trait StepContext<T> {
    fn step(self, describe: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T> StepContext<T> for Result<T, Errno> {
    fn step(self, describe: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|errno| StepError::of(errno, describe()))
    }
}

/// The error and all its causes on one line.
#[must_use]
pub fn report(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _infallible = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_has_the_words_that_people_look_for() {
        for (errno, words) in [
            (Errno::NOENT, "no such file or directory"),
            (Errno::ACCESS, "permission denied"),
            (Errno::NOEXEC, "exec format error"),
            (Errno::ISDIR, "is a directory"),
        ] {
            assert_eq!(
                StepError::of(errno, "exec: \"/x\"".into()).to_string(),
                format!("exec: \"/x\": {words}")
            );
        }
    }
}
