//! What can go wrong with a cgroup, and what a caller may conclude from it.
//! Knows no protocol: [`Kind`] is what a server maps to its own codes.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::memory_qos::KernelVersion;
use crate::path::PathFault;
use crate::systemd::SystemdError;

/// Short form used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The cgroup, a file or a device named by the request does not exist (any more).
    NotFound,
    /// The cgroup exists and is in use.
    AlreadyExists,
    /// The request itself is wrong; sending it again cannot help.
    InvalidArgument,
    /// The request is well-formed, but cgroup v2 or this kernel has nothing to serve it.
    Unsupported,
    /// The node or the cgroup is not in the state that the request needs.
    FailedPrecondition,
    /// A call failed in a way that none of the others describes.
    Internal,
}

/// A failed operation on a cgroup, with the step, its arguments and the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No cgroup2 file system is mounted where it has to be.
    #[error("no cgroup2 file system at /sys/fs/cgroup or /sys/fs/cgroup/unified")]
    NoHierarchy,

    /// A `cgroupsPath` that cannot be used.
    #[error("cgroup path {path:?}: {fault}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },

    /// A system call on a cgroup directory or file failed.
    #[error("{call} {}", path.display())]
    Call {
        /// The call, and its flags where they matter.
        call: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Errno,
    },

    /// The kernel refused a value.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The text that was written.
        value: String,
        /// The cause.
        #[source]
        source: Errno,
    },

    /// The kernel refused a part of an update, and then also to go back.
    #[error("restore the limits after a refused update ({left})")]
    NotRestored {
        /// What was refused first.
        #[source]
        refused: Box<Error>,
        /// What stood against the old values.
        left: String,
    },

    /// A file of a cgroup does not have the documented form.
    #[error("{} does not have the form of a {expected}: {content:?}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The form that was expected.
        expected: &'static str,
        /// The part of the content that does not fit.
        content: String,
    },

    /// A file is missing because its controller is not enabled in the cgroup.
    #[error("{file} cannot be set in {}: controller {controller} is not enabled there", cgroup.display())]
    ControllerMissing {
        /// The controller.
        controller: String,
        /// The file that was to be written.
        file: String,
        /// The cgroup's directory.
        cgroup: PathBuf,
    },

    /// The controller is there, but the kernel does not have this file.
    #[error("this kernel has no {file} in {}", cgroup.display())]
    FileMissing {
        /// The file.
        file: String,
        /// The cgroup's directory.
        cgroup: PathBuf,
    },

    /// A resource that has no equivalent in cgroup v2.
    #[error("resource {resource} has no equivalent in cgroup v2")]
    UnsupportedResource {
        /// The resource's name in the OCI runtime specification, from `linux.resources` on.
        resource: &'static str,
    },

    /// A resource with a value that no kernel accepts.
    #[error("resource {resource} = {value}: {reason}")]
    InvalidResource {
        /// The resource's name in the OCI runtime specification, from `linux.resources` on.
        resource: String,
        /// The value as text.
        value: String,
        /// Why it is refused.
        reason: &'static str,
    },

    /// An annotation that asks for what cannot be given.
    #[error("annotation {name} = {value:?} {reason}")]
    Annotation {
        /// The annotation's name.
        name: String,
        /// Its value.
        value: String,
        /// Why it is refused, to be read after the value.
        reason: &'static str,
    },

    /// The policy throttles, and this kernel cannot do that without the danger of a stall.
    #[error(
        "memory.high is not derived from throttling_factor: Linux {}.{} can stall a container that exceeds it, which \
         takes 5.9 or newer to avoid", kernel.major, kernel.minor
    )]
    UnsafeThrottling {
        /// The running kernel.
        kernel: KernelVersion,
    },

    /// `checkBeforeUpdate` was set and the new limit is below what is in use.
    #[error("memory limit {limit} bytes is below the {usage} bytes in use in {}", cgroup.display())]
    MemoryInUse {
        /// The limit that was asked for, in bytes.
        limit: u64,
        /// `memory.current`, in bytes.
        usage: u64,
        /// The cgroup's directory.
        cgroup: PathBuf,
    },

    /// The cgroup is already there and in use, so it cannot be a new container's.
    #[error("cgroup {} exists and {reason}", path.display())]
    InUse {
        /// The cgroup's directory.
        path: PathBuf,
        /// What it is used by.
        reason: &'static str,
    },

    /// Controllers cannot be given to children of a cgroup that has processes of its own.
    #[error("cgroup {} has processes of its own, so it cannot pass on {controllers} to children", path.display())]
    InternalProcesses {
        /// The parent's directory.
        path: PathBuf,
        /// The controllers that its children were to get.
        controllers: String,
    },

    /// The cgroup cannot hold a container's processes.
    #[error("cgroup {} is of type {mode:?}, which cannot hold a container", path.display())]
    NotADomain {
        /// The cgroup's directory.
        path: PathBuf,
        /// The content of `cgroup.type`.
        mode: String,
    },

    /// The awaited state was not reached before the deadline.
    #[error("cgroup {} is still not {state} at the deadline", path.display())]
    DeadlineExceeded {
        /// The cgroup's directory.
        path: PathBuf,
        /// The state that was awaited.
        state: &'static str,
    },

    /// A process could not be signalled.
    #[error("send signal {signal} to process {pid} of {}", cgroup.display())]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The process.
        pid: i32,
        /// The cgroup's directory.
        cgroup: PathBuf,
        /// The cause.
        #[source]
        source: Errno,
    },

    /// systemd, which owns the cgroup, refused or failed.
    #[error(transparent)]
    Systemd(#[from] Box<SystemdError>),
}

impl Error {
    /// What a caller can do about this error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Path { .. } | Self::InvalidResource { .. } | Self::Annotation { .. } => {
                Kind::InvalidArgument
            }
            Self::NotRestored { refused, .. } => refused.kind(),
            Self::Call { source, .. } => kind_of_call(*source),
            Self::Write { source, .. } => kind_of_write(*source),
            Self::ControllerMissing { .. }
            | Self::NoHierarchy
            | Self::MemoryInUse { .. }
            | Self::UnsafeThrottling { .. }
            | Self::InternalProcesses { .. }
            | Self::NotADomain { .. }
            | Self::DeadlineExceeded { .. } => Kind::FailedPrecondition,
            Self::FileMissing { .. } | Self::UnsupportedResource { .. } => Kind::Unsupported,
            Self::InUse { .. } => Kind::AlreadyExists,
            Self::Format { .. } | Self::Signal { .. } => Kind::Internal,
            Self::Systemd(error) => error.kind(),
        }
    }

    /// The errno of the failed call, where there was one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { source, .. } | Self::Write { source, .. } | Self::Signal { source, .. } => {
                Some(*source)
            }
            _ => None,
        }
    }

    pub(crate) fn call(call: &'static str, path: &Path, source: Errno) -> Self {
        Self::Call { call, path: path.to_owned(), source }
    }

    pub(crate) fn format(path: &Path, expected: &'static str, content: &str) -> Self {
        Self::Format { path: path.to_owned(), expected, content: content.chars().take(80).collect() }
    }

    pub(crate) fn invalid(resource: impl Into<String>, value: impl ToString, reason: &'static str) -> Self {
        Self::InvalidResource { resource: resource.into(), value: value.to_string(), reason }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }
}

/// For requests that have nothing left to do once the cgroup is gone.
pub(crate) fn ignore_gone(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// A removed cgroup answers ENODEV on files that are still open and ENOENT on new look-ups.
fn kind_of_call(errno: Errno) -> Kind {
    match errno {
        Errno::NOENT | Errno::NODEV => Kind::NotFound,
        Errno::EXIST => Kind::AlreadyExists,
        Errno::BUSY => Kind::FailedPrecondition,
        Errno::OPNOTSUPP => Kind::Unsupported,
        _ => Kind::Internal,
    }
}

fn kind_of_write(errno: Errno) -> Kind {
    match errno {
        Errno::INVAL | Errno::RANGE | Errno::OVERFLOW => Kind::InvalidArgument,
        other => kind_of_call(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_of_a_removed_cgroup_are_not_found() {
        for errno in [Errno::NOENT, Errno::NODEV] {
            assert_eq!(Error::call("read", Path::new("/x"), errno).kind(), Kind::NotFound);
        }
    }

    #[test]
    fn a_value_that_the_kernel_refuses_is_the_callers_fault() {
        let refused = Error::Write { path: "/c/cpu.max".into(), value: "1 1".into(), source: Errno::INVAL };
        assert_eq!(refused.kind(), Kind::InvalidArgument);
        assert_eq!(refused.to_string(), "write \"1 1\" to /c/cpu.max");
        assert_eq!(refused.errno(), Some(Errno::INVAL));
    }
}
