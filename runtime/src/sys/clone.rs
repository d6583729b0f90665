//! `clone3(2)`: a new process in its cgroup and namespaces, with a pidfd, in one call.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// `CLONE_*` bits of `clone3(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloneFlags(u64);

impl CloneFlags {
    /// The new process becomes a sibling: its parent is the caller's parent.
    pub(crate) const PARENT: Self = Self(libc::CLONE_PARENT as u64);

    /// Namespace bits as `unshare(2)` and `setns(2)` name them.
    pub(crate) const fn namespaces(bits: u32) -> Self {
        Self(bits as u64)
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which side of the clone this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The caller, with the child as the caller's pid namespace numbers it.
    Parent { pid: u32, pidfd: OwnedFd },
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Clones the calling, single-threaded process (memory is copied on write, as by `fork`).
///
/// The child dies silently until its first `execve`: no exit signal is asked for, because with
/// [`CloneFlags::PARENT`] the kernel takes the caller's. Wait for it with [`super::wait::reap`].
pub(crate) fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    let mut pidfd: libc::c_int = -1;
    let mut arguments = libc::clone_args {
        flags: flags.0 | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: no stack is given, so the kernel copies the address space and both sides go on from this very frame, as
    // after fork(2). `arguments` and `pidfd` are live locals for the whole call. Callers are single-threaded (the
    // spawner and what it clones), so no lock of the allocator can be held by a thread that the child lacks.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match checked(result)? {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: on success the kernel stored a new descriptor in `pidfd` that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: u32::try_from(pid).map_err(|_| Errno::RANGE)?, pidfd })
        }
    }
}
