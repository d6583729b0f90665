//! Properties that a process sets on itself, for which no safe crate has a call.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::ffi::CStr;

/// Moves the calling process into new namespaces (`CLONE_NEW*` bits).
pub(crate) fn unshare(namespaces: u32) -> Result<(), Errno> {
    // SAFETY: only namespace bits are passed by callers, never CLONE_FILES or CLONE_FS, so no descriptor table that
    // other code relies on is unshared.
    let result = unsafe { libc::syscall(libc::SYS_unshare, libc::c_ulong::from(namespaces)) };
    checked(result).map(drop)
}

/// Ends the process at once: no destructors, no exit handlers, no flushing of buffers that belong to the parent.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory of the process.
    unsafe { libc::_exit(status) }
}

/// Joins a new session keyring with this name, so that the container does not see the keys of containerd's session.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel copies the name, which is borrowed for the call.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::c_ulong::from(libc::KEYCTL_JOIN_SESSION_KEYRING), name.as_ptr())
    };
    checked(result).map(drop)
}

/// The path of the working directory, in `buffer`: `ERANGE` when it has no room. The kernel puts `(unreachable)` before one that
/// is not below the root.
pub(crate) fn getcwd(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: the kernel writes at most the stated length, into a live borrow.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    let with_end = usize::try_from(checked(result)?).map_err(|_| Errno::RANGE)?;
    Ok(&buffer[..with_end.saturating_sub(1)])
}

/// Sets the execution domain and its flags (`personality(2)`).
pub(crate) fn personality(persona: u32) -> Result<(), Errno> {
    // SAFETY: changes how later system calls and execve of this process behave, no memory.
    let result = unsafe { libc::personality(libc::c_ulong::from(persona)) };
    checked(result.into()).map(drop)
}

/// Sets the IO priority of the calling process: `class << 13 | level`.
pub(crate) fn set_io_priority(priority: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: plain integers; who 0 is the caller.
    let result =
        unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, libc::c_ulong::from(priority)) };
    checked(result).map(drop)
}

/// Arguments of `sched_setattr(2)`, as the kernel lays them out.
#[repr(C)]
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SchedulerAttributes {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime_nanoseconds: u64,
    pub(crate) deadline_nanoseconds: u64,
    pub(crate) period_nanoseconds: u64,
}

/// Sets a limit of the calling process (`RLIMIT_*`, soft and hard).
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a live local that the kernel copies; the old value is not asked for.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    checked(result).map(drop)
}

/// Sends a signal by number, real-time signals included, to the process behind a pidfd.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: plain integers and a null siginfo, for which the kernel makes one as for kill(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    checked(result).map(drop)
}
