//! Scheduling attributes of any task, and core scheduling.

use super::checked;
use super::process::SchedulerAttributes;
use rustix::io::Errno;

/// The size of `struct sched_attr` without clamps of utilisation.
const ATTRIBUTES_BYTES: libc::c_uint = 48;

const PR_SCHED_CORE: libc::c_ulong = 62;
const PR_SCHED_CORE_GET: libc::c_ulong = 0;
const PR_SCHED_CORE_CREATE: libc::c_ulong = 1;
const PR_SCHED_CORE_SHARE_FROM: libc::c_ulong = 3;
/// Of one task, and of all tasks of a process.
const PIDTYPE_PID: libc::c_ulong = 0;
const PIDTYPE_TGID: libc::c_ulong = 1;

/// Reads a task's policy and its parameters (`sched_getattr(2)`); 0 is the caller. Linux 6.12 and later say in `runtime_nanoseconds`
/// how long a slice of an ordinary task is; before there is 0.
pub(crate) fn scheduler_of(tid: i32) -> Result<SchedulerAttributes, Errno> {
    let mut attributes = SchedulerAttributes::default();
    // SAFETY: `attributes` is a live local of the size that is stated; the kernel fills in no more than that.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attributes, ATTRIBUTES_BYTES, 0) };
    checked(result)?;
    Ok(attributes)
}

/// Sets a task's policy and its parameters (`sched_setattr(2)`); 0 is the caller.
pub(crate) fn set_scheduler_of(tid: i32, attributes: &SchedulerAttributes) -> Result<(), Errno> {
    let mut attributes = attributes.clone();
    attributes.size = ATTRIBUTES_BYTES;
    // SAFETY: the structure has the layout and the size that it states; the kernel copies it.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attributes, 0) };
    checked(result).map(drop)
}

/// Whether core scheduling has any effect: `ENODEV` on a machine without SMT, `EINVAL` on a kernel without it.
pub(crate) fn probe_core_scheduling() -> Result<(), Errno> {
    let mut cookie = 0_u64;
    // SAFETY: the kernel writes the calling thread's cookie, 64 bits, to a live local.
    let result =
        unsafe { libc::prctl(PR_SCHED_CORE as _, PR_SCHED_CORE_GET, 0, PIDTYPE_PID, &raw mut cookie) };
    checked(result.into()).map(drop)
}

/// Gives the calling process a cookie that nobody else has; what it forks inherits it.
pub(crate) fn create_core_cookie() -> Result<(), Errno> {
    // SAFETY: plain integers; process 0 is the caller.
    let result = unsafe { libc::prctl(PR_SCHED_CORE as _, PR_SCHED_CORE_CREATE, 0, PIDTYPE_TGID, 0) };
    checked(result.into()).map(drop)
}

/// Gives the calling thread the cookie of `pid`, as its own pid namespace numbers it.
pub(crate) fn share_core_cookie_from(pid: u32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    let result = unsafe {
        libc::prctl(PR_SCHED_CORE as _, PR_SCHED_CORE_SHARE_FROM, libc::c_ulong::from(pid), PIDTYPE_PID, 0)
    };
    checked(result.into()).map(drop)
}
