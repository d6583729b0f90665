//! `sysinfo(2)` as a container's own view of its machine: what the files of the view say, for programs that ask the kernel.
//!
//! A seccomp filter, stacked below the container's own profile, has the kernel ask the shim for every `sysinfo` call of the
//! container's processes, and no other. The [`Attendant`] answers: it makes the texts of `meminfo`, `loadavg` and `uptime`,
//! reads its [figures](SystemInfo) off them, so that both ways of asking agree, and writes them into the caller's memory.
//! Must not know specs and cgroups.

mod attendant;
mod figures;
mod layout;
mod memory;

pub(crate) use attendant::Attendant;
pub use figures::SystemInfo;
pub use layout::Abi;

#[cfg(test)]
mod tests;

use crate::error::{CallContext, Error};
use crate::seccomp::{self, Filter, Flags, Machine};
use crate::sys::seccomp_has_flags;
use rustix::io::Errno;

/// The filter that each process of the container loads before its own profile.
///
/// # Errors
/// When the kernel has no listeners (before Linux 5.0, or built without seccomp).
pub(crate) fn filter() -> Result<Filter, Error> {
    let flags = [Flags::NEW_LISTENER.with(Flags::WAIT_KILLABLE_RECV), Flags::NEW_LISTENER];
    let flags = flags.into_iter().find(|flags| seccomp_has_flags(flags.bits())).ok_or(Errno::NOSYS);
    let flags = flags.call("seccomp", || "SECCOMP_FILTER_FLAG_NEW_LISTENER".into())?;
    Ok(seccomp::notify_of("sysinfo", flags, Machine::HERE)?)
}
