//! A container as the shim holds it: what is needed to enter, limit, freeze, measure and remove it.

mod cpu_view;
mod create;
mod exec;
mod listener;
mod mechanisms;
mod memory_qos;
mod oom_score;
mod packet_priority;
mod priority;
mod proc_view;
mod process_defaults;
mod reclaimer;
mod shortfall;
mod standing;
mod sysinfo;
mod time_slice;
mod usage;
mod view_change;

pub use crate::rootfs::RootfsMount;
pub use create::{CreateOptions, CreateRequest};
pub(crate) use listener::send_listener;
pub use shortfall::Shortfall;
pub(crate) use sysinfo::Sysinfo;

use self::cpu_view::NarrowedCpus;
pub use self::mechanisms::obstacle_to;
use self::memory_qos::MemoryQosOfContainer;
pub use self::priority::{ContainerPriority, OperatorWord, PriorityNotice};
use self::proc_view::ViewOutcome;
use self::process_defaults::ProcessDefaults;
use self::standing::Standing;

use crate::error::Error;
use crate::hooks::{self, State};
use crate::plan::RuntimeHooks;
use crate::proc_view::ViewDescription;
use crate::process::send_signal;
use crate::record::Record;
use crate::rootfs::MountedRootfs;
use crate::runtime::Runtime;
use ballast_cgroups::memory_qos::Notice;
use ballast_cgroups::{Cgroup, DevicePolicy, Limits, MemoryEventsFile, Statistics};
use oci_spec::runtime::LinuxResources;
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use usage::Usage;

/// A freezer that has not stopped everything by then never will: something is stuck in the kernel.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// Processes that were killed and are still not gone by then are stuck in the kernel; containerd waits no longer either.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// A container between Create and Delete.
#[derive(Debug)]
pub struct Container {
    runtime: Arc<Runtime>,
    id: String,
    bundle: PathBuf,
    annotations: HashMap<String, String>,
    cgroup: Cgroup,
    /// Its files are opened when first asked for, off the path of every container's start. Not so where systemd owns the
    /// cgroup, which vanishes with the last process: there is no time to open them then.
    usage: Mutex<Usage>,
    standing: Standing,
    record: Record,
    rootfs: Mutex<MountedRootfs>,
    view: Mutex<ViewOutcome>,
    shortfalls: Mutex<Vec<Shortfall>>,
    /// `None` when it may run wherever those above it may.
    narrowed_cpus: Option<NarrowedCpus>,
    hooks: RuntimeHooks,
    state: State,
    init: OwnedFd,
    namespaces: ContainerNamespaces,
    process_defaults: ProcessDefaults,
}

/// What an exec has to join.
#[derive(Debug, Clone, Copy)]
struct ContainerNamespaces {
    /// `CLONE_NEW*` bits that `setns(2)` on init's pidfd takes.
    joined_by_exec: u32,
    /// Whether there is a pid namespace other than the host's, the container's own or its pod's.
    other_pid: bool,
    /// Whether init is pid 1 of it, so that the kernel ends everything with it.
    private_pid: bool,
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bundle.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// The annotations of its spec.
    #[must_use]
    pub fn annotations(&self) -> &HashMap<String, String> {
        &self.annotations
    }

    /// Whether its processes cannot outlive its first one. Where they can, whoever sees the first one end kills the rest.
    #[must_use]
    pub fn has_private_pid_namespace(&self) -> bool {
        self.namespaces.private_pid
    }

    /// The pids of all its processes, as the shim's pid namespace numbers them.
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn process_ids(&self) -> Result<Vec<u32>, Error> {
        let processes = self.cgroup.processes()?;
        Ok(processes.into_iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect())
    }

    /// Stops every process until [`Self::resume`].
    ///
    /// # Errors
    /// When they do not stop in time; they then run on.
    pub fn pause(&self) -> Result<(), Error> {
        Ok(self.cgroup.freeze(Instant::now() + FREEZE_TIMEOUT)?)
    }

    /// Lets every process run again.
    ///
    /// # Errors
    /// When the cgroup is gone.
    pub fn resume(&self) -> Result<(), Error> {
        Ok(self.cgroup.thaw(Instant::now() + FREEZE_TIMEOUT)?)
    }

    /// Sends a signal to every process.
    ///
    /// # Errors
    /// When the signal has no meaning, or the cgroup is gone.
    pub fn signal_all(&self, signal: i32) -> Result<(), Error> {
        if signal == Signal::KILL.as_raw() {
            return Ok(self.cgroup.kill_all()?);
        }
        match Signal::from_named_raw(signal) {
            Some(signal) => Ok(self.cgroup.signal_all(signal)?),
            None => self.signal_init(signal),
        }
    }

    /// A real-time signal, which only means something to the program that defines it.
    fn signal_init(&self, signal: i32) -> Result<(), Error> {
        send_signal(self.init.as_fd(), signal)
    }

    /// Changes its limits; what `resources` does not mention stays. Device rules are never changed.
    ///
    /// # Errors
    /// When a limit is invalid, or refused by the kernel.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        let limits = Limits::from_oci(resources)?;
        let updated = self.standing.update(&self.runtime, &self.cgroup, limits);
        let updated = updated.and_then(|()| match &self.narrowed_cpus {
            Some(narrowed) => narrowed.update(&self.cgroup, resources),
            None => Ok(()),
        });
        // After a failure too: some of it may have been changed.
        if let ViewOutcome::Made(view) = &*self.view() {
            view.served.updated();
        }
        updated
    }

    /// Lays annotations over those that it has. Only Ballast's about priority can change; others' are passed over.
    ///
    /// # Errors
    /// When one of Ballast's is invalid, or is about something else.
    pub fn update_annotations(&self, annotations: &HashMap<String, String>) -> Result<(), Error> {
        let plan = self.standing.priority.plan_anew(&self.annotations, annotations)?;
        if let Some(plan) = plan {
            self.standing.replan(&self.runtime, &self.cgroup, plan);
        }
        Ok(())
    }

    /// Puts an operator's word about its level before that of annotations and policy, or takes that word back.
    pub fn set_operator_word(&self, word: Option<OperatorWord>) {
        self.standing.set_operator_word(&self.runtime, &self.cgroup, word);
    }

    /// What an operator said about its level.
    #[must_use]
    pub fn operator_word(&self) -> Option<OperatorWord> {
        self.standing.priority.operator_word()
    }

    /// Its priority, and what became of it.
    #[must_use]
    pub fn priority(&self) -> ContainerPriority {
        self.standing.priority.describe()
    }

    /// What a person should hear about its priority, once.
    pub fn take_priority_notices(&self) -> Vec<PriorityNotice> {
        self.standing.priority.take_notices()
    }

    /// What a person should hear about its memory QoS, once.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.standing.memory_qos.as_ref().map(MemoryQosOfContainer::take_notices).unwrap_or_default()
    }

    /// What it used so far. Works after its processes have ended, until it is deleted; where systemd owns the cgroup,
    /// if it was [kept](Self::keep_statistics).
    ///
    /// # Errors
    /// Of kind `NotFound` when the cgroup is gone.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        Ok(self.usage().read(&self.cgroup)?)
    }

    /// Whether the cgroup can vanish as soon as the last process has ended: systemd owns it.
    #[must_use]
    pub fn is_cgroup_fleeting(&self) -> bool {
        self.cgroup.is_owned_by_systemd()
    }

    /// Keeps what [`Self::statistics`] says now for when the cgroup is gone. For a [fleeting](Self::is_cgroup_fleeting)
    /// one, to be called first thing when a process has ended that can have been the last.
    ///
    /// # Errors
    /// Of kind `NotFound` when it is too late.
    pub fn keep_statistics(&self) -> Result<(), Error> {
        Ok(self.usage().keep(&self.cgroup)?)
    }

    /// Whether the kernel's log tells of a kill for want of memory, for when it was too late to
    /// [keep the counts](Self::keep_statistics).
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_tells_of_a_memory_kill(&self) -> Result<bool, Error> {
        Ok(self.cgroup.log_tells_of_a_memory_kill()?)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that becomes readable with priority (`POLLPRI`) when the kernel killed for memory, among other events.
    ///
    /// # Errors
    /// When the memory controller is missing.
    pub fn memory_events(&self) -> Result<MemoryEventsFile, Error> {
        Ok(self.cgroup.memory_events_file()?)
    }

    /// Runs the poststart hooks; to be called after the first process was started.
    ///
    /// # Errors
    /// The hook that failed. The container runs on.
    pub fn after_start(&self) -> Result<(), Error> {
        Ok(hooks::run_all("poststart", &self.hooks.poststart, &self.state_as("running"))?)
    }

    /// Why it has no view of `/proc` though the node's policy gives it one; told once.
    pub fn take_view_failure(&self) -> Option<Error> {
        let mut view = self.view();
        match std::mem::replace(&mut *view, ViewOutcome::NotNeeded) {
            ViewOutcome::Failed(error) => Some(error),
            outcome => {
                *view = outcome;
                None
            }
        }
    }

    /// What the node's policy gives it and could not; told once.
    pub fn take_shortfalls(&self) -> Vec<Shortfall> {
        std::mem::take(&mut *self.shortfalls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its view of `/proc`; `None` when it has none.
    #[must_use]
    pub fn describe_view(&self) -> Option<ViewDescription> {
        match &*self.view() {
            ViewOutcome::Made(view) => Some(view.describe()),
            ViewOutcome::NotNeeded | ViewOutcome::Failed(_) => None,
        }
    }

    fn view(&self) -> std::sync::MutexGuard<'_, ViewOutcome> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills what is left of it and removes its cgroup, mounts and record, then runs the poststop hooks. Can be repeated
    /// after a failure, and once everything is gone.
    ///
    /// # Errors
    /// The first thing that could not be removed, with the others attached.
    pub fn delete(&self) -> Result<(), Error> {
        let mut failures = Vec::new();
        let mut note = |result: Result<(), Error>| failures.extend(result.err());
        note(self.remove_cgroup());
        // After the last reader, before the cgroup's numbers could be another's.
        *self.view() = ViewOutcome::NotNeeded;
        note(self.rootfs.lock().unwrap_or_else(PoisonError::into_inner).unmount().map_err(Error::from));
        note(
            hooks::run_all("poststop", &self.hooks.poststop, &self.state_as("stopped")).map_err(Error::from),
        );
        if failures.is_empty() {
            return Ok(self.record.remove()?);
        }
        let first = failures.remove(0);
        Err(first.with_cleanup(failures))
    }

    fn remove_cgroup(&self) -> Result<(), Error> {
        remove_cgroup(&self.cgroup, Some(&self.standing))
    }

    fn state_as(&self, status: &str) -> State {
        State { status: status.to_owned(), ..self.state.clone() }
    }
}

/// Kills everything in a cgroup, removes it, and takes what it protected off the cgroups above.
fn remove_cgroup(cgroup: &Cgroup, standing: Option<&Standing>) -> Result<(), Error> {
    match cgroup.kill_all() {
        Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => {}
        result => {
            result?;
            cgroup.delete(Instant::now() + DELETE_TIMEOUT)?;
        }
    }
    if let Some(standing) = standing {
        standing.release(cgroup.hierarchy());
    }
    Ok(())
}

/// The device rules as the program that the kernel runs; `None` when everything is allowed.
fn device_program(resources: Option<&LinuxResources>) -> Result<Option<Vec<u64>>, Error> {
    let devices = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
    let program = DevicePolicy::from_oci(devices)?.program()?;
    Ok(program
        .map(|instructions| instructions.into_iter().map(|i| u64::from_ne_bytes(i.to_bytes())).collect()))
}
