//! Turns an OCI seccomp profile into the classic BPF program that `seccomp(2)` loads.
//!
//! Pure: it makes no syscall and knows no process, no container and no file; loading the program and handing its
//! listener to an agent is done elsewhere. A profile that compiles is complete: whatever it asks for is in the
//! [`Filter`], and whatever cannot be done is an [`Error`] that names it.
//!
//! The rules are those of runc with libseccomp, so that a profile means the same here and there:
//! * An entry without conditions decides its syscall whatever the conditional ones say; the first such entry wins.
//! * An entry that states the default action again is skipped.
//! * Conditions in one entry must all hold, unless two of them test the same argument: then each stands alone.
//! * Conditional rules of one syscall are tried in libseccomp's order, not the profile's: see `conditions`. The same
//!   conditions with two actions are refused. Every rule that matches counts: libseccomp, which merges rules to a tree
//!   of half words, loses some when comparisons of the same argument overlap.
//! * 32-bit architectures (x32 too) compare the low words of argument and value only.
//! * x86's direct socket and System V calls are also reachable through `socketcall` and `ipc`: see `multiplexer`.
//! * Names that are in no table are skipped, and returned for the log.
//! * A number above the newest call that the profile names gets `ENOSYS` instead of the default action, unless that
//!   permits (allow, log, trace): C libraries fall back to older calls on `ENOSYS` alone.
//!
//! It differs on purpose in five places. A syscall of an architecture that the profile does not list kills the process,
//! where libseccomp kills the thread and leaves the others without it. An errno for an action that takes none is refused,
//! as the OCI specification demands. ARM's private calls (`set_tls`) do not count as newest, so 32-bit ARM has an
//! `ENOSYS` range at all. The native architecture has that range even when the profile does not list it. And a rule
//! with conditions never opens a multiplexed call.
//!
//! Why not `seccompiler`: one action per filter, one architecture, no `NOTIFY`, no `ENOSYS` range, a linear search.
//! Why not the tables of `syscalls`: no x32, no private ARM calls, and it ends at Linux 6.17. `syscalls.tbl` is
//! made by `generate_syscalls.py` from the kernel's headers, those of Linux 7.2.

mod action;
mod architecture;
mod assembler;
mod conditions;
mod decisions;
mod error;
mod flags;
mod key;
mod multiplexer;
mod packed;
mod profile;
mod program;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use oci_spec::runtime::LinuxSeccomp;
use serde::{Deserialize, Serialize};

pub(crate) use architecture::Architecture;
pub use architecture::Machine;
pub use error::{Error, Subject};
pub use flags::Flags;
pub use key::ProfileKey;

pub use crate::sys::Instruction;

/// The longest program the kernel takes (`BPF_MAXINSNS` of `linux/bpf_common.h`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// A compiled profile, complete but for the call that loads it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Filter {
    /// The program, at most [`MAX_INSTRUCTIONS`] long.
    #[serde(with = "packed")]
    pub program: Vec<Instruction>,
    /// The flags for `SECCOMP_SET_MODE_FILTER`. They hold `NEW_LISTENER` exactly when `notify` is set.
    pub flags: Flags,
    /// Where the listener's descriptor has to go, when a rule's action is `SCMP_ACT_NOTIFY`.
    pub notify: Option<Listener>,
    /// Names in the profile that no syscall of this machine has: mistyped, foreign or newer than the table.
    pub unknown_syscalls: Vec<String>,
}

/// The agent that answers notifications (OCI `listenerPath` and `listenerMetadata`).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Listener {
    /// The Unix socket on which the agent waits for the container's state and the descriptor.
    pub path: PathBuf,
    /// Opaque text that travels along.
    pub metadata: Option<String>,
}

/// Compiles `profile` for the machine this runs on.
///
/// # Errors
/// What the profile asks for and cannot have, by name; see [`Error`].
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, Error> {
    compile_for(profile, Machine::HERE)
}

/// Compiles `profile` for `machine`: its native architecture and those listed ones that it can run.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(profile: &LinuxSeccomp, machine: Machine) -> Result<Filter, Error> {
    let profile = profile::Profile::new(profile, machine)?;
    let (names, unknown_syscalls) = decisions::resolve(&profile, &table::Table::new());
    let program = program::assemble(&profile, &names)?;
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::ProgramTooLong { instructions: program.len() });
    }
    Ok(Filter { program, flags: profile.flags, notify: profile.notify, unknown_syscalls })
}

/// The filter that notifies of one syscall on every architecture of `machine` and lets all others through; `flags` say that
/// there is a listener, who is not an agent of any profile.
///
/// # Errors
/// None that is known: one rule contradicts no other.
pub(crate) fn notify_of(syscall: &str, flags: Flags, machine: Machine) -> Result<Filter, Error> {
    let names = [syscall.to_owned()];
    let profile = profile::Profile {
        default: action::Action::ALLOW,
        entries: vec![profile::Entry {
            names: &names,
            action: action::Action::NOTIFY,
            alternatives: vec![Vec::new()],
        }],
        architectures: machine.architectures(),
        flags,
        notify: None,
    };
    let (names, unknown_syscalls) = decisions::resolve(&profile, &table::Table::new());
    let program = program::assemble(&profile, &names)?;
    Ok(Filter { program, flags, notify: None, unknown_syscalls })
}
