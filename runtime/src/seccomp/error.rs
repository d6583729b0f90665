//! What a profile can be refused for. Knows nothing of how programs are made.

use std::fmt;

use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompFilterFlag};

use super::MAX_INSTRUCTIONS;

/// The part of a profile that an action belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `defaultAction` and `defaultErrnoRet`.
    Default,
    /// An entry of `syscalls`, by the first of its names.
    Syscall(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("the default action"),
            Self::Syscall(name) => write!(formatter, "syscall `{name}`"),
        }
    }
}

/// Why a profile cannot become a filter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// OCI: at least one.
    #[error("seccomp: entry {entry} of syscalls has no names")]
    NoNames {
        /// The position in `syscalls`, from 0.
        entry: usize,
    },
    /// A syscall without a name.
    #[error("seccomp: entry {entry} of syscalls has an empty name")]
    EmptyName {
        /// The position in `syscalls`, from 0.
        entry: usize,
    },
    /// `errnoRet` or `defaultErrnoRet` beside an action that returns none.
    #[error("seccomp: {action} for {subject} takes no errno, and {errno} is given")]
    ErrnoNotTaken {
        /// The action.
        action: LinuxSeccompAction,
        /// Whose action.
        subject: Subject,
        /// The errno that was given.
        errno: u32,
    },
    /// The kernel would cut the value.
    #[error("seccomp: errno {errno} of {action} for {subject} exceeds {largest}")]
    ErrnoTooLarge {
        /// The action.
        action: LinuxSeccompAction,
        /// Whose action.
        subject: Subject,
        /// The errno that was given.
        errno: u32,
        /// The largest that the action can carry.
        largest: u32,
    },
    /// Syscalls have six arguments.
    #[error("seccomp: argument index {index} for syscall `{syscall}` exceeds 5")]
    ArgumentIndex {
        /// The first name of the entry.
        syscall: String,
        /// The index that was given.
        index: usize,
    },
    /// `valueTwo` has a meaning for `SCMP_CMP_MASKED_EQ` alone.
    #[error(
        "seccomp: {operator} on argument {index} of syscall `{syscall}` takes no valueTwo, and {value} is given"
    )]
    SecondValueNotTaken {
        /// The first name of the entry.
        syscall: String,
        /// The argument.
        index: usize,
        /// The operator's OCI name.
        operator: String,
        /// The second value that was given.
        value: u64,
    },
    /// Two rules for a syscall have the same conditions and different actions.
    #[error(
        "seccomp: two rules for syscall `{syscall}` on {architecture} have the same conditions and different actions"
    )]
    Conflict {
        /// Its first name in the profile.
        syscall: String,
        /// The architecture's OCI name.
        architecture: &'static str,
    },
    /// The agent would have to answer for every call of the process that hands it the listener.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be the default action")]
    NotifyByDefault,
    /// The process that loads the filter has to write before anybody listens.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be used for syscall `write`")]
    NotifyOnWrite,
    /// There is nobody to notify.
    #[error("seccomp: SCMP_ACT_NOTIFY for syscall `{syscall}` needs listenerPath")]
    ListenerPathMissing {
        /// The first name of the entry.
        syscall: String,
    },
    /// OCI: must not be set then.
    #[error("seccomp: listenerMetadata without listenerPath")]
    ListenerMetadataAlone,
    /// The kernel takes the flag together with a listener only.
    #[error("seccomp: {flag} needs a rule with SCMP_ACT_NOTIFY")]
    FlagNeedsListener {
        /// The flag.
        flag: LinuxSeccompFilterFlag,
    },
    /// The profile is too large for the kernel.
    #[error("seccomp: the program has {instructions} instructions, the kernel takes {MAX_INSTRUCTIONS}")]
    ProgramTooLong {
        /// Its length.
        instructions: usize,
    },
}
