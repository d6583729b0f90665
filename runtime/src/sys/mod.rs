//! The kernel interfaces that no safe crate offers, each behind a function named after its system call.
//!
//! This is the only module of the project that may say `unsafe`. It knows flags, descriptors and errnos; it must not know
//! specs, plans or containers. Descriptors made here are close-on-exec.
#![allow(unsafe_code)]

mod allocator;
mod bpf;
mod clock;
mod clone;
mod exec;
mod memory_map;
mod mount;
mod process;
mod scheduling;
mod seccomp;
pub mod self_binary;
mod signals;
pub mod wait;

pub use allocator::{keep_large_allocations_apart, keep_one_heap};
#[cfg(test)]
pub(crate) use bpf::query::attached_programs;
pub(crate) use bpf::{CgroupProgram, attach_program, detach_program, load_program};
pub(crate) use clock::time_since_boot;
pub(crate) use clone::{CloneFlags, Forked, clone3};
pub(crate) use exec::{DescriptorRun, close_all_but, close_on_exec_from, close_together, execve};
pub(crate) use memory_map::is_writable;
pub(crate) use mount::{MountAttributes, mount_setattr};
pub(crate) use process::{
    SchedulerAttributes, exit_now, getcwd, join_session_keyring, personality, pidfd_send_signal,
    set_io_priority, set_rlimit, unshare,
};
pub(crate) use scheduling::{
    create_core_cookie, probe_core_scheduling, scheduler_of, set_scheduler_of, share_core_cookie_from,
};
pub use seccomp::Instruction;
pub(crate) use seccomp::{
    Notification, Reply, seccomp_has_flags, seccomp_is_waiting, seccomp_receive, seccomp_reply,
    seccomp_set_filter, seccomp_wake_synchronously,
};
pub(crate) use signals::restore_default_dispositions;

use rustix::io::Errno;

/// The result of a raw system call as the C library reports it: -1 and `errno`, or a value.
fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(result)
}
