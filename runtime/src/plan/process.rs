//! `process`: the program, who it runs as and what confines it. The same for a container's first process and an exec.

use super::wire::{Capabilities, ExecLabel, ProcessPlan, Rlimit, Scheduling, StdioPlan};
use super::{PlanError, c_string};
use crate::seccomp::Filter;
use crate::sys::SchedulerAttributes;
use oci_spec::runtime::{
    Capability, IOPriorityClass, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, PosixRlimitType, Process, Scheduler,
};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

/// What a process has from its container rather than from its own `process` object.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) sysinfo: Option<Filter>,
    pub(crate) seccomp: Option<Filter>,
    pub(crate) session_keyring: Option<String>,
    pub(crate) personality: Option<&'a LinuxPersonality>,
}

/// Checks a process and translates it; `stdio` was decided by whoever asked for it.
pub(crate) fn plan_process(
    process: &Process,
    surroundings: Surroundings<'_>,
    stdio: StdioPlan,
) -> Result<ProcessPlan, PlanError> {
    let arguments = process.args().as_deref().unwrap_or_default();
    if arguments.is_empty() {
        return Err(PlanError::Missing { field: "process.args" });
    }
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        return Err(PlanError::invalid("process.cwd", cwd.display().to_string(), "must be absolute"));
    }
    let strings = |field: &'static str, list: &[String]| -> Result<Vec<_>, PlanError> {
        list.iter().map(|string| c_string(field, string)).collect()
    };
    let user = process.user();
    Ok(ProcessPlan {
        arguments: strings("process.args", arguments)?,
        environment: strings("process.env", process.env().as_deref().unwrap_or_default())?,
        working_directory: c_string("process.cwd", cwd.as_os_str().as_bytes())?,
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask(),
        capabilities: plan_capabilities(process),
        rlimits: plan_rlimits(process)?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        labels: plan_labels(process)?,
        sysinfo: surroundings.sysinfo,
        seccomp: surroundings.seccomp,
        session_keyring: surroundings.session_keyring.map(|name| c_string("id", name)).transpose()?,
        personality: surroundings.personality.map(plan_personality).transpose()?,
        io_priority: plan_io_priority(process)?,
        scheduler: process.scheduler().as_ref().map(plan_scheduler).transpose()?,
        scheduling: Scheduling::default(),
        cpu_affinity: plan_affinity(process)?,
        stdio,
    })
}

fn plan_capabilities(process: &Process) -> Capabilities {
    let Some(sets) = process.capabilities() else { return Capabilities::default() };
    let bits = |set: &Option<HashSet<Capability>>| {
        set.iter().flatten().fold(0, |bits, capability| bits | 1_u64 << capability_number(*capability))
    };
    Capabilities {
        bounding: bits(sets.bounding()),
        effective: bits(sets.effective()),
        inheritable: bits(sets.inheritable()),
        permitted: bits(sets.permitted()),
        ambient: bits(sets.ambient()),
    }
}

/// `linux/capability.h`.
fn capability_number(capability: Capability) -> u32 {
    match capability {
        Capability::Chown => 0,
        Capability::DacOverride => 1,
        Capability::DacReadSearch => 2,
        Capability::Fowner => 3,
        Capability::Fsetid => 4,
        Capability::Kill => 5,
        Capability::Setgid => 6,
        Capability::Setuid => 7,
        Capability::Setpcap => 8,
        Capability::LinuxImmutable => 9,
        Capability::NetBindService => 10,
        Capability::NetBroadcast => 11,
        Capability::NetAdmin => 12,
        Capability::NetRaw => 13,
        Capability::IpcLock => 14,
        Capability::IpcOwner => 15,
        Capability::SysModule => 16,
        Capability::SysRawio => 17,
        Capability::SysChroot => 18,
        Capability::SysPtrace => 19,
        Capability::SysPacct => 20,
        Capability::SysAdmin => 21,
        Capability::SysBoot => 22,
        Capability::SysNice => 23,
        Capability::SysResource => 24,
        Capability::SysTime => 25,
        Capability::SysTtyConfig => 26,
        Capability::Mknod => 27,
        Capability::Lease => 28,
        Capability::AuditWrite => 29,
        Capability::AuditControl => 30,
        Capability::Setfcap => 31,
        Capability::MacOverride => 32,
        Capability::MacAdmin => 33,
        Capability::Syslog => 34,
        Capability::WakeAlarm => 35,
        Capability::BlockSuspend => 36,
        Capability::AuditRead => 37,
        Capability::Perfmon => 38,
        Capability::Bpf => 39,
        Capability::CheckpointRestore => 40,
    }
}

fn plan_rlimits(process: &Process) -> Result<Vec<Rlimit>, PlanError> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let resource = rlimit_number(limit.typ());
        let name = limit.typ().to_string();
        if limits.iter().any(|earlier| earlier.resource == resource) {
            return Err(PlanError::invalid("process.rlimits", name, "is listed twice"));
        }
        if limit.soft() > limit.hard() {
            return Err(PlanError::invalid("process.rlimits", name, "has a soft limit above the hard one"));
        }
        limits.push(Rlimit { resource, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(limits)
}

/// `asm-generic/resource.h`.
fn rlimit_number(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}

fn plan_labels(process: &Process) -> Result<Vec<ExecLabel>, PlanError> {
    let mut labels = Vec::new();
    let given = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    if let Some(profile) = given(process.apparmor_profile()) {
        if !apparmor_is_on() {
            return Err(PlanError::invalid(
                "process.apparmorProfile",
                profile,
                "needs AppArmor, which this kernel does not run",
            ));
        }
        let file = c_string("process.apparmorProfile", "apparmor/exec")?;
        labels.push(ExecLabel { file, content: format!("exec {profile}") });
    }
    if let Some(label) = given(process.selinux_label()) {
        if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            return Err(PlanError::invalid(
                "process.selinuxLabel",
                label,
                "needs SELinux, which this kernel does not run",
            ));
        }
        labels.push(ExecLabel { file: c_string("process.selinuxLabel", "exec")?, content: label });
    }
    Ok(labels)
}

/// Decided at boot, so looked up once.
fn apparmor_is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| {
        std::fs::read("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|content| content.starts_with(b"Y"))
    })
}

fn plan_personality(personality: &LinuxPersonality) -> Result<u32, PlanError> {
    if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(PlanError::Unsupported { field: "linux.personality.flags".into() });
    }
    Ok(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

fn plan_io_priority(process: &Process) -> Result<Option<u32>, PlanError> {
    let Some(priority) = process.io_priority() else { return Ok(None) };
    let level = u32::try_from(priority.priority()).ok().filter(|level| *level < 8).ok_or_else(|| {
        PlanError::invalid(
            "process.ioPriority.priority",
            priority.priority().to_string(),
            "is not between 0 and 7",
        )
    })?;
    let class: u32 = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    Ok(Some(class << 13 | level))
}

fn plan_scheduler(scheduler: &Scheduler) -> Result<SchedulerAttributes, PlanError> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = scheduler.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSchedulerFlag::SchedResetOnFork => 0x01,
                LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
                LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
                LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
                LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
                LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
                LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
            }
    });
    let priority = scheduler.priority().unwrap_or(0);
    let priority = u32::try_from(priority)
        .map_err(|_| PlanError::invalid("process.scheduler.priority", priority.to_string(), "is negative"))?;
    Ok(SchedulerAttributes {
        size: 0,
        policy,
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority,
        runtime_nanoseconds: scheduler.runtime().unwrap_or(0),
        deadline_nanoseconds: scheduler.deadline().unwrap_or(0),
        period_nanoseconds: scheduler.period().unwrap_or(0),
    })
}

/// `execCPUAffinity`: the process is born on the CPUs of its cgroup, so only where it ends up needs saying.
fn plan_affinity(process: &Process) -> Result<Vec<usize>, PlanError> {
    let Some(affinity) = process.exec_cpu_affinity() else { return Ok(Vec::new()) };
    let Some(list) = affinity.cpu_affinity_final().as_ref().or(affinity.initial().as_ref()) else {
        return Ok(Vec::new());
    };
    let invalid = || PlanError::invalid("process.execCPUAffinity", list, "is no list of CPUs");
    let mut cpus = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.trim().parse().map_err(|_| invalid())?;
        let last: usize = last.trim().parse().map_err(|_| invalid())?;
        if first > last || last >= rustix::thread::CpuSet::MAX_CPU {
            return Err(invalid());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}
