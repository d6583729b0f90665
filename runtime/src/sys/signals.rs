//! Signal dispositions of the spawner, which every container process inherits.

use super::checked;
use rustix::io::Errno;

/// Sets every signal that is ignored back to its default and unblocks all. Handlers need nothing: `execve` resets them.
pub(crate) fn restore_default_dispositions() -> Result<(), Errno> {
    for signal in 1..=libc::SIGRTMAX() {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL is valid for every signal but the two left out, and installs no code of ours. The C library
        // refuses the two that it keeps for itself, which are never ignored.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: sigset_t is plain data; sigemptyset fills it before it is read.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is a live local.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: `none` is initialised and the old mask is not asked for.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    checked(result.into()).map(drop)
}
