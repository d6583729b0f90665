//! Create: from a bundle to a process that is parked before its `execve`.
//!
//! Validate everything ([`blueprint`]), then act, then undo on failure. The acting part is short: mount the rootfs, make the
//! cgroup, spawn; each is undone in reverse when a later one fails, and the first cause is what is reported.

mod blueprint;
mod order;

use self::blueprint::Blueprint;
use self::order::Order;
use super::standing::Standing;
use super::usage::Usage;
use super::{Container, remove_cgroup};
use crate::bundle::{Config, read_config};
use crate::error::{CallContext, Error};
use crate::hooks::{self, State};
use crate::plan::PriorityPolicy;
use crate::plan::wire::Plan;
use crate::proc_view::ViewPolicy;
use crate::process::{Process, ProcessIo};
use crate::record::Record;
use crate::rootfs::{MountedRootfs, RootfsMount};
use crate::runtime::Runtime;
use crate::spawn::Placeholder;
use crate::sys::{self, CgroupProgram};
use ballast_cgroups::memory_qos::Policy;
use ballast_cgroups::{Cgroup, UnitProperties};
use oci_spec::runtime::Spec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Pid;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What containerd's Create asks for.
#[derive(Debug)]
pub struct CreateRequest {
    /// containerd's namespace.
    pub namespace: String,
    /// The shim that will hold the container; what cleans up after it finds all containers under this name.
    pub shim: String,
    /// The container.
    pub id: String,
    /// Its bundle, absolute.
    pub bundle: PathBuf,
    /// Mounts that make up the rootfs; none when `root.path` of the spec is ready.
    pub rootfs: Vec<RootfsMount>,
    /// Streams or terminal of the first process.
    pub io: ProcessIo,
    /// Options of the runtime class.
    pub options: CreateOptions,
}

/// Options of the runtime class that reach the runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Share the session keyring of containerd instead of making one.
    pub no_new_keyring: bool,
    /// The node's policy of memory QoS.
    pub memory_qos: Policy,
    /// The node's policy of priorities.
    pub priority: PriorityPolicy,
    /// The node's policy of views of `/proc`.
    pub proc_view: ViewPolicy,
}

impl Container {
    /// Creates the container; its first process is parked just before its `execve`.
    ///
    /// # Errors
    /// The first thing that went wrong. Nothing of the container is left then, or what is left is attached to the error.
    pub fn create(runtime: &Arc<Runtime>, mut request: CreateRequest) -> Result<(Self, Process), Error> {
        let Config { spec, seccomp } = read_config(&request.bundle)?;
        let blueprint = Blueprint::draw(runtime, &spec, seccomp.as_ref(), &request)?;
        let mounts = std::mem::take(&mut request.rootfs);
        let mut made = Made {
            rootfs: MountedRootfs::mount(mounts, &blueprint.rootfs_path, runtime.spawner())?,
            cgroup: None,
            standing: None,
            record: None,
        };
        match made.build(runtime, &spec, blueprint, request) {
            Ok(created) => Ok(created),
            Err(error) => Err(error.with_cleanup(made.undo())),
        }
    }
}

/// What exists on the host and has to go when creating fails.
struct Made {
    rootfs: MountedRootfs,
    cgroup: Option<Cgroup>,
    standing: Option<Standing>,
    record: Option<Record>,
}

impl Made {
    fn build(
        &mut self,
        runtime: &Arc<Runtime>,
        spec: &Spec,
        blueprint: Blueprint<'_>,
        request: CreateRequest,
    ) -> Result<(Container, Process), Error> {
        let state = blueprint.container_hooks.state.clone();
        let mut order = Order::write(
            runtime,
            spec,
            blueprint,
            &request.bundle,
            request.io,
            &request.id,
            &request.options,
        )?;
        self.standing = order.standing.take();
        let placeholder = self.make_cgroup(
            runtime,
            &order,
            &state,
            Record::of(&request.namespace, &request.shim, &request.id),
        )?;
        let cgroup = self.cgroup.as_ref().ok_or(Error::ProcessFinished)?;
        if let Some(standing) = &self.standing {
            order.plan.process.scheduling = standing.priority.scheduling(None);
        }
        let view = order.make_view(cgroup, runtime)?;
        let policy = &request.options.proc_view;
        let sysinfo_shortfall = order.make_sysinfo(&view, cgroup, runtime, policy)?;
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        let (narrowed_cpus, cpu_shortfall) = order.narrow_cpus(&view, cgroup, resources, policy)?;

        let spawned = runtime.spawner().spawn(Plan::Init(order.plan), order.descriptors, cgroup.as_fd())?;
        // systemd would have removed a scope without a process; from here on the container has one.
        drop(placeholder);
        if order.precedes_views && !runtime.native_views().isolates_all {
            // While the sandbox's process does its part. Where this fails, those who need it fail, and say why.
            let _prepared = runtime.views().prepare();
        }
        let hooks = &order.runtime_hooks;
        let process = Process::park(spawned, order.defaults.listeners(&state), |pid| {
            let state = State { pid, ..state.clone() };
            hooks::run_all("prestart", &hooks.prestart, &state)?;
            Ok(hooks::run_all("createRuntime", &hooks.create_runtime, &state)?)
        })?;
        let finished = self
            .standing
            .as_ref()
            .ok_or(Error::ProcessFinished)
            .and_then(|standing| standing.priority.adjust_first_process(runtime, process.pid()))
            .and_then(|()| Ok((early_usage(cgroup)?, duplicate(process.pidfd())?)));
        let (usage, init) = finished.inspect_err(|_| process.destroy())?;
        let taken = (self.cgroup.take(), self.record.take(), self.standing.take());
        let (Some(cgroup), Some(record), Some(standing)) = taken else {
            return Err(Error::ProcessFinished);
        };
        let container = Container {
            runtime: Arc::clone(runtime),
            id: request.id,
            bundle: request.bundle,
            annotations: state.annotations.clone(),
            cgroup,
            usage: Mutex::new(usage),
            standing,
            record,
            rootfs: Mutex::new(std::mem::take(&mut self.rootfs)),
            view: Mutex::new(view),
            shortfalls: Mutex::new(sysinfo_shortfall.into_iter().chain(cpu_shortfall).collect()),
            narrowed_cpus,
            hooks: order.runtime_hooks,
            state: State { pid: process.pid(), ..state },
            init,
            namespaces: order.namespaces,
            process_defaults: order.defaults,
        };
        Ok((container, process))
    }

    /// Makes the cgroup with its limits and device rules: a directory, or a scope where systemd owns the path, which needs
    /// a process to begin with.
    fn make_cgroup(
        &mut self,
        runtime: &Runtime,
        order: &Order,
        state: &State,
        record: Record,
    ) -> Result<Option<Placeholder>, Error> {
        let hierarchy = runtime.hierarchy()?;
        let (cgroup, placeholder) = if order.cgroup_path.is_owned_by_systemd() {
            let annotations = state.annotations.iter().map(|(key, value)| (&**key, &**value));
            let properties = UnitProperties::from_annotations(annotations)?;
            let placeholder = runtime.spawner().hold()?;
            let pid = i32::try_from(placeholder.pid())
                .ok()
                .and_then(Pid::from_raw)
                .ok_or(Error::ProcessFinished)?;
            let cgroup = hierarchy.create_scope(&order.cgroup_path, pid, &order.limits, &properties)?;
            (cgroup, Some(placeholder))
        } else {
            (hierarchy.create(&order.cgroup_path)?, None)
        };
        let cgroup = self.cgroup.insert(cgroup);
        self.record.insert(record).write(&order.cgroup_path.to_cgroups_path())?;
        cgroup.apply(&order.limits)?;
        if let Some(standing) = &self.standing {
            standing.establish(cgroup, &order.limits);
        }
        if let Some(program) = &order.device_program {
            runtime
                .device_program(program)
                .and_then(|program| {
                    sys::attach_program(cgroup.as_fd(), CgroupProgram::Device, program.as_fd())
                })
                .call("bpf", || format!("device program of {} instructions", program.len()))?;
        }
        Ok(placeholder)
    }

    fn undo(&mut self) -> Vec<Error> {
        let cgroup =
            self.cgroup.as_ref().map_or(Ok(()), |cgroup| remove_cgroup(cgroup, self.standing.as_ref()));
        let rootfs = self.rootfs.unmount().map_err(Error::from);
        // The record is what lets a later clean-up find a cgroup that is still there.
        let record = match (&cgroup, &self.record) {
            (Ok(()), Some(record)) => record.remove().map_err(Error::from),
            _ => Ok(()),
        };
        [cgroup, rootfs, record].into_iter().filter_map(Result::err).collect()
    }
}

/// See the field `usage` of [`Container`].
fn early_usage(cgroup: &Cgroup) -> Result<Usage, Error> {
    if cgroup.is_owned_by_systemd() { Ok(Usage::opened(cgroup)?) } else { Ok(Usage::default()) }
}

pub(in crate::container) fn duplicate(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    Ok(fcntl_dupfd_cloexec(descriptor, 3).call("fcntl", || "F_DUPFD_CLOEXEC".into())?)
}
