//! Who the process is: session, user, groups, capabilities, limits, labels, seccomp. The same steps for init and exec.
//!
//! Split in two by when the shim releases the process: [`assume`] does everything that may fail for reasons of the spec,
//! [`confine`] gives up what loading seccomp still needed, right before `execve`.

use super::{Context, Control};
use crate::error::{StepContext, StepError};
use crate::plan::wire::{Capabilities, CoreCookie, ExecLabel, ProcessPlan};
use crate::seccomp::Filter;
use crate::spawn::ChildMessage;
use crate::sys::{self, SchedulerAttributes};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::path::{Arg, DecInt};
use rustix::process::{DumpableBehavior, Gid, Uid, chdir, getcwd, set_dumpable_behavior, setsid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, CpuSet, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, sched_setaffinity, set_capabilities, set_keep_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ffi::CStr;
use std::path::Path;

/// What a process gets that says nothing: the mask that containers were always started with.
const DEFAULT_UMASK: u32 = 0o022;
/// Most paths and lists of groups are shorter. They take no memory from the allocator: a process that was just forked pays for
/// each page that it touches.
const SHORT_PATH_BYTES: usize = 256;
const SHORT_LIST: usize = 32;
const SHORT_PASSWD_BYTES: usize = 2048;

/// A session and a session keyring of its own, so that neither terminal signals nor keys of the shim's reach it.
pub(super) fn new_session(plan: &ProcessPlan) -> Result<(), StepError> {
    setsid().step(|| "setsid".into())?;
    match &plan.session_keyring {
        None => Ok(()),
        Some(name) => match sys::join_session_keyring(name) {
            // A kernel without keys has none to protect.
            Err(Errno::NOSYS) => Ok(()),
            result => result.step(|| format!("join the session keyring {}", name.to_string_lossy())),
        },
    }
}

/// Sets how willingly the kernel kills the process when memory runs out.
pub(super) fn adjust_oom_score(context: &Context<'_>, adjustment: i32) -> Result<(), StepError> {
    write_own(context.procfs, c"thread-self/oom_score_adj", DecInt::new(adjustment).as_bytes())
        .step(|| format!("write {adjustment} to /proc/self/oom_score_adj"))
}

/// After entering a user namespace: becomes its root, so that what is made from now on belongs to the container.
pub(super) fn become_namespace_root() -> Result<(), StepError> {
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .step(|| "become group 0 of the user namespace".into())?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).step(|| "become user 0 of the user namespace".into())
}

/// Makes the working directory if the image lacks it, and enters it as root where the user may not.
pub(super) fn enter_working_directory(plan: &ProcessPlan) -> Result<(), StepError> {
    let directory = plan.working_directory.as_c_str();
    let result = match chdir(directory) {
        Err(Errno::NOENT) => {
            make_directories(Path::new(&*directory.to_string_lossy())).and_then(|()| chdir(directory))
        }
        result => result,
    };
    match result {
        // Perhaps only the user may; tried again as the user.
        Err(Errno::ACCESS) => Ok(()),
        result => result.step(|| format!("chdir to the working directory {}", directory.to_string_lossy())),
    }
}

fn make_directories(path: &Path) -> Result<(), Errno> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Err(Errno::NOENT) => {
            make_directories(path.parent().ok_or(Errno::NOENT)?)?;
            mkdirat(CWD, path, Mode::from_raw_mode(0o755))
        }
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// Takes on everything but the final privileges. The order is the kernel's: what needs capabilities comes before they go.
pub(super) fn assume(plan: &ProcessPlan, context: &Context<'_>) -> Result<(), StepError> {
    umask(Mode::from_raw_mode(plan.umask.unwrap_or(DEFAULT_UMASK)));
    set_scheduling(plan)?;
    for limit in &plan.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard)
            .step(|| format!("set rlimit {} to {}:{}", limit.resource, limit.soft, limit.hard))?;
    }
    if let Some(persona) = plan.personality {
        sys::personality(persona).step(|| format!("personality {persona:#x}"))?;
    }
    for label in &plan.labels {
        write_label(context.procfs, label)?;
    }
    drop_bounding_set(plan.capabilities)?;
    become_user(plan)?;
    // As the user, whose directory it may be.
    let directory = plan.working_directory.as_c_str();
    chdir(directory).step(|| format!("chdir to the working directory {}", directory.to_string_lossy()))?;
    refuse_outside_directory()
}

fn set_scheduling(plan: &ProcessPlan) -> Result<(), StepError> {
    if let Some(scheduler) = &plan.scheduler {
        sys::set_scheduler_of(0, scheduler)
            .step(|| format!("sched_setattr of policy {}", scheduler.policy))?;
    } else if let Some(runtime_nanoseconds) = plan.scheduling.time_slice_nanoseconds {
        sys::scheduler_of(0)
            .and_then(|own| sys::set_scheduler_of(0, &SchedulerAttributes { runtime_nanoseconds, ..own }))
            .step(|| format!("sched_setattr of a slice of {runtime_nanoseconds} ns"))?;
    }
    match plan.scheduling.core {
        None => {}
        Some(CoreCookie::Create) => {
            sys::create_core_cookie().step(|| "prctl PR_SCHED_CORE_CREATE".into())?;
        }
        Some(CoreCookie::ShareFrom(pid)) => {
            sys::share_core_cookie_from(pid).step(|| format!("prctl PR_SCHED_CORE_SHARE_FROM {pid}"))?;
        }
    }
    if let Some(priority) = plan.io_priority {
        sys::set_io_priority(priority).step(|| format!("ioprio_set {priority:#x}"))?;
    }
    if !plan.cpu_affinity.is_empty() {
        let mut cpus = CpuSet::new();
        for cpu in &plan.cpu_affinity {
            cpus.set(*cpu);
        }
        sched_setaffinity(None, &cpus).step(|| format!("sched_setaffinity {:?}", plan.cpu_affinity))?;
    }
    Ok(())
}

/// Writes a file below `thread-self` in our own procfs: in the container's, a mount could redirect the write to another file
/// (CVE-2019-19921, CVE-2025-52881).
fn write_own(procfs: BorrowedFd<'_>, path: impl Arg, content: &[u8]) -> Result<(), Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let file = openat2(procfs, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    rustix::io::write(&file, content).map(drop)
}

/// Asks the security module to switch with the next `execve`.
fn write_label(procfs: BorrowedFd<'_>, label: &ExecLabel) -> Result<(), StepError> {
    let write = |file: &str| write_own(procfs, format!("thread-self/attr/{file}"), label.content.as_bytes());
    let file = label.file.to_string_lossy();
    let result = match (write(&file), file.rsplit_once('/')) {
        // Kernels before 5.8 have no directory per module.
        (Err(Errno::NOENT), Some((_, plain))) => match write(plain) {
            Err(Errno::NOENT) => Err(Errno::NOENT),
            result => result,
        },
        (result, _) => result,
    };
    result.step(|| format!("apply the label {:?} ({file}); is the profile loaded?", label.content))
}

fn drop_bounding_set(capabilities: Capabilities) -> Result<(), StepError> {
    for number in 0..u64::BITS {
        let bit = 1_u64 << number;
        if capabilities.bounding & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // Past the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => {
                return Err(errno).step(|| format!("drop capability {number} from the bounding set"));
            }
        }
    }
    Ok(())
}

fn become_user(plan: &ProcessPlan) -> Result<(), StepError> {
    let mut groups = SmallVec::<[_; SHORT_LIST]>::new();
    groups.extend(plan.additional_gids.iter().map(|gid| Gid::from_raw(*gid)));
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    // Root stays root and loses nothing.
    let leaves_root = !uid.is_root();
    if leaves_root {
        set_keep_capabilities(true).step(|| "keep capabilities over the change of user".into())?;
    }
    match set_thread_groups(&groups) {
        // A user namespace that denies setgroups has no groups to drop either.
        Err(Errno::PERM) if groups.is_empty() => {}
        result => result.step(|| format!("setgroups {:?}", plan.additional_gids))?,
    }
    set_thread_res_gid(gid, gid, gid).step(|| format!("setgid {}", plan.gid))?;
    set_thread_res_uid(uid, uid, uid).step(|| format!("setuid {}", plan.uid))?;
    if leaves_root {
        set_keep_capabilities(false).step(|| "stop keeping capabilities".into())?;
    }
    if leaves_root || !gid.is_root() {
        // With new credentials comes what `fs.suid_dumpable` says; 1 would open the process to the container.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "stay non-dumpable".into())?;
    }
    Ok(())
}

/// A directory that is not below the root would be a way out to the host (CVE-2024-21626).
fn refuse_outside_directory() -> Result<(), StepError> {
    let mut short = [0; SHORT_PATH_BYTES];
    let directory = match sys::getcwd(&mut short) {
        Err(Errno::RANGE) => getcwd(Vec::new()).map(|long| Cow::Owned(long.into_bytes())),
        short_enough => short_enough.map(Cow::Borrowed),
    };
    let directory = directory.step(|| "getcwd".into())?;
    if directory.first() == Some(&b'/') {
        return Ok(());
    }
    let directory = String::from_utf8_lossy(&directory);
    Err(Errno::NOENT).step(|| format!("the working directory {directory:?} is outside of the container"))
}

/// The last steps: seccomp and capabilities. After a filter is loaded only system calls that it must allow anyway follow.
pub(super) fn confine(plan: &ProcessPlan, control: &Control) -> Result<(), StepError> {
    if plan.no_new_privileges {
        set_final_capabilities(plan.capabilities)?;
        set_no_new_privs(true).step(|| "set no_new_privs".into())?;
        return load_seccomp(plan, control);
    }
    if (plan.seccomp.is_some() || plan.sysinfo.is_some()) && plan.uid != 0 {
        // Without no_new_privs the kernel wants CAP_SYS_ADMIN to load a filter, and the change of user took it away.
        let all = CapabilitySet::from_bits_retain(u64::MAX);
        raise_permitted(all)?;
    }
    load_seccomp(plan, control)?;
    set_final_capabilities(plan.capabilities)
}

fn raise_permitted(all: CapabilitySet) -> Result<(), StepError> {
    let mut sets = rustix::thread::capabilities(None).step(|| "capget".into())?;
    sets.effective = sets.permitted & all;
    set_capabilities(None, sets).step(|| "raise the kept capabilities".into())
}

fn set_final_capabilities(capabilities: Capabilities) -> Result<(), StepError> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(capabilities.effective),
        permitted: CapabilitySet::from_bits_retain(capabilities.permitted),
        inheritable: CapabilitySet::from_bits_retain(capabilities.inheritable),
    };
    set_capabilities(None, sets).step(|| {
        format!(
            "capset of effective {:#x}, permitted {:#x}, inheritable {:#x}",
            capabilities.effective, capabilities.permitted, capabilities.inheritable
        )
    })?;
    for number in 0..u64::BITS {
        let bit = 1_u64 << number;
        if capabilities.ambient & bit != 0 {
            configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(bit), true)
                .step(|| format!("raise the ambient capability {number}"))?;
        }
    }
    Ok(())
}

fn load_seccomp(plan: &ProcessPlan, control: &Control) -> Result<(), StepError> {
    // First: the container's own profile may refuse to load another.
    if let Some(filter) = &plan.sysinfo
        && let Some(listener) = load_filter(filter)?
    {
        control.tell(&ChildMessage::SysinfoListener, &[listener.as_fd()])?;
    }
    let Some(filter) = &plan.seccomp else { return Ok(()) };
    match load_filter(filter)? {
        Some(listener) => {
            control.rendezvous(&ChildMessage::SeccompListener { descriptor: listener.as_raw_fd() }, &[])
        }
        None => Ok(()),
    }
}

fn load_filter(filter: &Filter) -> Result<Option<OwnedFd>, StepError> {
    sys::seccomp_set_filter(&filter.program, filter.flags.bits())
        .step(|| format!("load a seccomp filter of {} instructions", filter.program.len()))
}

/// The home directory that the image's `/etc/passwd` names for a user; programs expect `HOME` to be set.
// Its buffer is not to be a part of others' stack.
#[inline(never)]
pub(super) fn home_directory(uid: u32) -> Option<Vec<u8>> {
    const MAXIMUM_BYTES: usize = 1 << 20;
    const PASSWD: &CStr = c"/etc/passwd";
    // Not blocking: the image may have a FIFO there.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(PASSWD, flags, Mode::empty()).ok()?;
    let mut content = SmallVec::<[u8; SHORT_PASSWD_BYTES]>::from_elem(0, SHORT_PASSWD_BYTES);
    let mut length = 0;
    while let Ok(read) = rustix::io::read(&file, &mut content[length..]) {
        if read == 0 {
            break;
        }
        length += read;
        if length == content.len() {
            content.resize(MAXIMUM_BYTES, 0);
        }
    }
    let uid = uid.to_string();
    content[..length].split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
        (fields.len() >= 6 && fields[2] == uid.as_bytes() && !fields[5].is_empty())
            .then(|| fields[5].to_vec())
    })
}
