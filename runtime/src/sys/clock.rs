//! `clock_gettime(2)` by the C library: rustix's own way through the vDSO ends the process where a kernel's vDSO has no such
//! function (user-mode Linux).

use super::checked;
use rustix::io::Errno;
use std::time::Duration;

/// The time since the machine booted, sleep included (`CLOCK_BOOTTIME`), by the time namespace of this process.
pub(crate) fn time_since_boot() -> Result<Duration, Errno> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live local that the call fills in.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    checked(result.into())?;
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::RANGE)?;
    let nanoseconds = u32::try_from(time.tv_nsec).map_err(|_| Errno::RANGE)?;
    Ok(Duration::new(seconds, nanoseconds))
}
