//! `seccomp(2)` and what its listeners answer to: filters are loaded, notifications received and replied to.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip when the test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Installs a seccomp filter on the calling thread. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` in `flags`, returns the
/// descriptor that notifications are read from.
pub(crate) fn seccomp_set_filter(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let kernel = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the kernel copies the program and never writes to it, so a shared borrow is enough; Instruction has the
    // layout of sock_filter.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::c_ulong::from(flags),
            &raw const kernel,
        )
    };
    let descriptor = checked(result)?;
    if u64::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::RANGE)?;
    // SAFETY: with NEW_LISTENER the result is a new, close-on-exec descriptor that nothing else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// Whether the kernel knows all of these flags of `SECCOMP_SET_MODE_FILTER`. Loads nothing: it checks them before it reads the
/// program, of which there is none.
pub(crate) fn seccomp_has_flags(flags: u32) -> bool {
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel refuses a null program with EFAULT.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, libc::c_ulong::from(flags), nothing)
    };
    checked(result) == Err(Errno::FAULT)
}

/// A system call that waits for its listener's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notification {
    /// What a reply refers to.
    pub(crate) id: u64,
    /// The calling thread, as this process's pid namespace numbers it.
    pub(crate) thread: u32,
    /// `AUDIT_ARCH_*` of the call.
    pub(crate) audit_architecture: u32,
    /// The first argument.
    pub(crate) argument: u64,
}

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It returns 0, and was carried out by the listener.
    Done,
    /// The kernel carries it out as if there were no filter (since Linux 5.5).
    Continue,
}

/// Receives a notification, of which there must be one (`POLLIN`). `ENOENT` when the caller was killed since.
pub(crate) fn seccomp_receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    let mut kernel = libc::seccomp_notif {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] },
    };
    // SAFETY: the request's number has the size of the structure, a live local that is zero as the kernel wants it.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut kernel) };
    checked(result.into())?;
    Ok(Notification {
        id: kernel.id,
        thread: kernel.pid,
        audit_architecture: kernel.data.arch,
        argument: kernel.data.args[0],
    })
}

/// Whether the caller still waits: what was opened by its number before is its own then.
pub(crate) fn seccomp_is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads the number, a live local.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) };
    result == 0
}

/// Replies. `ENOENT` when the caller was killed since.
pub(crate) fn seccomp_reply(listener: BorrowedFd<'_>, id: u64, reply: Reply) -> Result<(), Errno> {
    let flags = match reply {
        Reply::Done => 0,
        Reply::Continue => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE,
    };
    let flags = u32::try_from(flags).map_err(|_| Errno::INVAL)?;
    let mut kernel = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the request's number has the size of the structure, a live local.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut kernel) };
    checked(result.into()).map(drop)
}

/// Has the kernel run caller and listener in turns on one CPU, which is quicker; since Linux 6.6.
pub(crate) fn seccomp_wake_synchronously(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: u64 = 1;
    // SAFETY: the argument is the flags themselves; no memory is passed.
    let result = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
        )
    };
    checked(result.into()).map(drop)
}
