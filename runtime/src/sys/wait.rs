//! The end of a child process, told by its pidfd.

use rustix::fd::{AsRawFd, BorrowedFd};
use std::io;

/// Reaps the child behind `pidfd` if it has ended, without blocking. `None`: it still runs. The status is the exit code,
/// or 128 and the signal's number.
///
/// Unlike plain `waitid(2)` this also sees a child that has not called `execve` yet: our children are cloned without an
/// exit signal, and the kernel hides such children from a wait without `__WALL`.
///
/// # Errors
/// `ECHILD` when the process is not a child of this one, or was reaped before.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    wait(pidfd, libc::WNOHANG)
}

/// Waits until the child behind `pidfd` has ended and reaps it.
pub(crate) fn reap_blocking(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    loop {
        match wait(pidfd, 0) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait(pidfd: BorrowedFd<'_>, options: libc::c_int) -> io::Result<Option<u32>> {
    // SAFETY: siginfo_t is plain data for which all zeroes is a valid value.
    let mut information: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `information` is a live local that the call fills in.
    let result = unsafe {
        libc::waitid(
            libc::P_PIDFD,
            pidfd.as_raw_fd().unsigned_abs(),
            &raw mut information,
            libc::WEXITED | libc::__WALL | options,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: after a successful waitid for WEXITED the SIGCHLD fields are the ones in use; they stay zero when WNOHANG
    // found nothing.
    let pid = unsafe { information.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above, a child was reported.
    let status = unsafe { information.si_status() }.unsigned_abs();
    Ok(Some(if information.si_code == libc::CLD_EXITED { status } else { 128 + status }))
}
