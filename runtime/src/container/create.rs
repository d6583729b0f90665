//! Create: from a bundle to a process that is parked before its `execve`.
//!
//! Validate everything, then act, then undo on failure. The acting part is short: mount the rootfs, make the cgroup,
//! spawn; each is undone in reverse when a later one fails, and the first cause is what is reported.

use super::memory_qos::MemoryQosOfContainer;
use super::proc_view::{ViewOutcome, make_view};
use super::usage::Usage;
use super::{Container, ContainerNamespaces, ProcessDefaults, device_program, remove_cgroup};
use crate::bundle::read_config;
use crate::error::{CallContext, Error};
use crate::hooks::{self, State};
use crate::plan::wire::{HookPlan, InitPlan, NamespacePlan, Plan, RootfsPlan};
use crate::plan::{
    self, Bind, Binder, IdMaps, Namespaces, PlanError, RuntimeHooks, Surroundings, UserNamespace, ViewPlan,
    absolute_path, clone_tree, id_map_lines, plan_devices, plan_hooks, plan_memory_qos, plan_mounts,
    plan_namespaces, plan_proc_view, plan_process, plan_sysctls,
};
use crate::proc_view::ViewPolicy;
use crate::process::{ListenerTarget, Process, ProcessIo};
use crate::record::Record;
use crate::rootfs::{MountedRootfs, RootfsMount, path_for_kernel};
use crate::runtime::Runtime;
use crate::seccomp::Filter;
use crate::spawn::{Descriptors, Placeholder};
use crate::sys::{self, MountAttributes, mount_setattr};
use ballast_cgroups::memory_qos::Policy;
use ballast_cgroups::{Cgroup, CgroupPath, Limits, UnitProperties};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::mount::MountPropagationFlags;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::path::{Path, PathBuf};
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
    /// The node's policy of views of `/proc`.
    pub proc_view: ViewPolicy,
}

impl Container {
    /// Creates the container; its first process is parked just before its `execve`.
    ///
    /// # Errors
    /// The first thing that went wrong. Nothing of the container is left then, or what is left is attached to the error.
    pub fn create(runtime: &Arc<Runtime>, mut request: CreateRequest) -> Result<(Self, Process), Error> {
        let spec = read_config(&request.bundle)?;
        let blueprint = Blueprint::draw(runtime, &spec, &request)?;
        let mounts = std::mem::take(&mut request.rootfs);
        let mut made = Made {
            rootfs: MountedRootfs::mount(mounts, &blueprint.rootfs_path, runtime.spawner())?,
            cgroup: None,
            memory_qos: None,
            record: None,
        };
        match made.build(runtime, &spec, blueprint, request) {
            Ok(created) => Ok(created),
            Err(error) => Err(error.with_cleanup(made.undo())),
        }
    }
}

/// Everything about the container that can be known, and refused, before anything is touched.
struct Blueprint<'a> {
    namespaces: Namespaces<'a>,
    maps: Option<IdMaps<'a>>,
    rootfs_path: PathBuf,
    cgroup_path: CgroupPath,
    limits: Limits,
    memory_qos: Option<MemoryQosOfContainer>,
    device_program: Option<Vec<u64>>,
    seccomp: Option<Filter>,
    runtime_hooks: RuntimeHooks,
    container_hooks: HookPlan,
    proc_view: Option<ViewPlan>,
}

impl<'a> Blueprint<'a> {
    fn draw(runtime: &Runtime, spec: &'a Spec, request: &CreateRequest) -> Result<Self, Error> {
        plan::refuse_unsupported(spec)?;
        let linux = spec.linux().as_ref().ok_or(PlanError::Missing { field: "linux" })?;
        let root = spec.root().as_ref().ok_or(PlanError::Missing { field: "root" })?;
        let resources = linux.resources().as_ref();
        let cgroup_path = match linux.cgroups_path() {
            Some(path) if !path.as_os_str().is_empty() => CgroupPath::parse(&path.to_string_lossy())?,
            _ => CgroupPath::for_container(&request.id)?,
        };
        let mut limits = resources.map(Limits::from_oci).transpose()?.unwrap_or_default();
        let memory_qos = plan_memory_qos(spec, &cgroup_path, &request.options.memory_qos)?
            .map(|qos| MemoryQosOfContainer::decide(qos, &mut limits))
            .transpose()?;
        let (runtime_hooks, create_container, start_container) = plan_hooks(spec)?;
        let state = State {
            oci_version: spec.version().clone(),
            id: request.id.clone(),
            status: "creating".into(),
            pid: 0,
            bundle: request.bundle.clone(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        };
        let namespaces = plan_namespaces(spec)?;
        Ok(Self {
            proc_view: plan_proc_view(spec, &namespaces, &request.options.proc_view)?,
            namespaces,
            maps: IdMaps::from_spec("linux", linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref())?,
            rootfs_path: request.bundle.join(root.path()),
            cgroup_path,
            limits,
            memory_qos,
            device_program: device_program(resources)?,
            seccomp: linux.seccomp().as_ref().map(|profile| runtime.seccomp_filter(profile)).transpose()?,
            container_hooks: HookPlan {
                wait_for_runtime: !runtime_hooks.prestart.is_empty()
                    || !runtime_hooks.create_runtime.is_empty(),
                create_container,
                start_container,
                state,
            },
            runtime_hooks,
        })
    }
}

/// What exists on the host and has to go when creating fails.
struct Made {
    rootfs: MountedRootfs,
    cgroup: Option<Cgroup>,
    memory_qos: Option<MemoryQosOfContainer>,
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
        self.memory_qos = order.memory_qos.take();
        let placeholder = self.make_cgroup(
            runtime,
            &order,
            &state,
            Record::of(&request.namespace, &request.shim, &request.id),
        )?;
        let cgroup = self.cgroup.as_ref().ok_or(Error::ProcessFinished)?;
        let view = order.make_view(cgroup)?;

        let spawned = runtime.spawner().spawn(Plan::Init(order.plan), order.descriptors, cgroup.as_fd())?;
        // systemd would have removed a scope without a process; from here on the container has one.
        drop(placeholder);
        let hooks = &order.runtime_hooks;
        let process = Process::park(spawned, order.defaults.listener_target(&state), |pid| {
            let state = State { pid, ..state.clone() };
            hooks::run_all("prestart", &hooks.prestart, &state)?;
            Ok(hooks::run_all("createRuntime", &hooks.create_runtime, &state)?)
        })?;
        let finished = adjust_oom_score(runtime, spec, &process)
            .and_then(|()| Ok((early_usage(cgroup)?, duplicate(process.pidfd())?)));
        let (usage, init) = finished.inspect_err(|_| process.destroy())?;
        let (Some(cgroup), Some(record)) = (self.cgroup.take(), self.record.take()) else {
            return Err(Error::ProcessFinished);
        };
        let container = Container {
            runtime: Arc::clone(runtime),
            id: request.id,
            bundle: request.bundle,
            annotations: state.annotations.clone(),
            cgroup,
            usage: Mutex::new(usage),
            memory_qos: self.memory_qos.take(),
            record,
            rootfs: Mutex::new(std::mem::take(&mut self.rootfs)),
            view: Mutex::new(view),
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
        if let Some(memory_qos) = &self.memory_qos {
            memory_qos.establish(cgroup);
        }
        if let Some(program) = &order.device_program {
            sys::attach_device_program(cgroup.as_fd(), program)
                .call("bpf", || format!("device program of {} instructions", program.len()))?;
        }
        Ok(placeholder)
    }

    fn undo(&mut self) -> Vec<Error> {
        let cgroup =
            self.cgroup.as_ref().map_or(Ok(()), |cgroup| remove_cgroup(cgroup, self.memory_qos.as_ref()));
        let rootfs = self.rootfs.unmount().map_err(Error::from);
        // The record is what lets a later clean-up find a cgroup that is still there.
        let record = match (&cgroup, &self.record) {
            (Ok(()), Some(record)) => record.remove().map_err(Error::from),
            _ => Ok(()),
        };
        [cgroup, rootfs, record].into_iter().filter_map(Result::err).collect()
    }
}

/// The finished plan, with what goes beside it.
struct Order {
    plan: Box<InitPlan>,
    descriptors: Descriptors<'static>,
    namespaces: ContainerNamespaces,
    defaults: ProcessDefaults,
    cgroup_path: CgroupPath,
    limits: Limits,
    memory_qos: Option<MemoryQosOfContainer>,
    device_program: Option<Vec<u64>>,
    runtime_hooks: RuntimeHooks,
    proc_view: Option<ViewPlan>,
}

impl Order {
    /// Opens and clones what the plan refers to. Descriptors only: dropping them undoes it.
    fn write(
        runtime: &Runtime,
        spec: &Spec,
        mut blueprint: Blueprint<'_>,
        bundle: &Path,
        io: ProcessIo,
        id: &str,
        options: &CreateOptions,
    ) -> Result<Self, Error> {
        let mut descriptors = Descriptors::default();
        let linux = spec.linux().as_ref().ok_or(PlanError::Missing { field: "linux" })?;
        let process = spec.process().as_ref().ok_or(PlanError::Missing { field: "process" })?;
        let namespaces = container_namespaces(&blueprint.namespaces);
        let user_namespace = user_namespace(runtime, blueprint.namespaces.user.take())?;
        let binder = HostBinder { runtime, container: user_namespace.as_ref() };
        let mounts = plan_mounts(spec, bundle, &binder, &mut descriptors)?;
        let devices = plan_devices(spec, user_namespace.is_some(), &mut descriptors)?;
        let rootfs = plan_rootfs(spec, &blueprint.rootfs_path, &mut descriptors)?;
        let defaults = ProcessDefaults {
            seccomp: blueprint.seccomp,
            session_keyring: (!options.no_new_keyring).then(|| format!("_ses.{id}")),
            personality: linux.personality().clone(),
            uid_mappings: blueprint.maps.map_or_else(Vec::new, |maps| maps.uids.to_vec()),
            gid_mappings: blueprint.maps.map_or_else(Vec::new, |maps| maps.gids.to_vec()),
        };
        let user = (process.user().uid(), process.user().gid());
        let stdio = with_console_size(io, process).plan(user, blueprint.maps, &mut descriptors)?;
        let plan = InitPlan {
            proc_view: None,
            hostname: own_name(&blueprint.namespaces, "hostname", spec.hostname().as_ref())?,
            domainname: own_name(&blueprint.namespaces, "domainname", spec.domainname().as_ref())?,
            sysctls: plan_sysctls(spec, &blueprint.namespaces)?,
            namespaces: namespace_plan(blueprint.namespaces, user_namespace, &mut descriptors),
            rootfs,
            mounts,
            devices,
            masked_paths: paths("linux.maskedPaths", linux.masked_paths().as_ref())?,
            readonly_paths: paths("linux.readonlyPaths", linux.readonly_paths().as_ref())?,
            hooks: blueprint.container_hooks,
            process: plan_process(process, defaults.surroundings(), stdio)?,
        };
        Ok(Self {
            plan: Box::new(plan),
            proc_view: blueprint.proc_view,
            descriptors,
            namespaces,
            defaults,
            cgroup_path: blueprint.cgroup_path,
            limits: blueprint.limits,
            memory_qos: blueprint.memory_qos,
            device_program: blueprint.device_program,
            runtime_hooks: blueprint.runtime_hooks,
        })
    }
}

impl Order {
    /// Makes the view, which needs the cgroup to be there.
    fn make_view(&mut self, cgroup: &Cgroup) -> Result<ViewOutcome, Error> {
        let Some(view) = &self.proc_view else { return Ok(ViewOutcome::NotNeeded) };
        let outcome = make_view(view, cgroup, &mut self.plan, &mut self.descriptors)?;
        if self.plan.namespaces.new_time.is_some() {
            self.namespaces.joined_by_exec |= UnshareFlags::NEWTIME.bits();
        }
        Ok(outcome)
    }
}

fn adjust_oom_score(runtime: &Runtime, spec: &Spec, process: &Process) -> Result<(), Error> {
    match spec.process().as_ref().and_then(|process| process.oom_score_adj()) {
        Some(adjustment) => runtime.write_proc(process.pid(), "oom_score_adj", &adjustment.to_string()),
        None => Ok(()),
    }
}

/// See the field `usage` of [`Container`].
fn early_usage(cgroup: &Cgroup) -> Result<Usage, Error> {
    if cgroup.is_owned_by_systemd() { Ok(Usage::opened(cgroup)?) } else { Ok(Usage::default()) }
}

pub(super) fn duplicate(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    Ok(fcntl_dupfd_cloexec(descriptor, 3).call("fcntl", || "F_DUPFD_CLOEXEC".into())?)
}

/// User namespaces of the host side: the spawner makes them.
struct HostBinder<'a> {
    runtime: &'a Runtime,
    container: Option<&'a OwnedFd>,
}

impl Binder for HostBinder<'_> {
    fn container_user_namespace(&self) -> Option<&OwnedFd> {
        self.container
    }

    fn user_namespace(&self, maps: IdMaps<'_>) -> Result<OwnedFd, Error> {
        self.runtime.spawner().make_user_namespace(id_map_lines(maps.uids), id_map_lines(maps.gids))
    }
}

/// The container's user namespace, made now if it is a new one, so that joining is the only case that is left.
fn user_namespace(runtime: &Runtime, planned: Option<UserNamespace<'_>>) -> Result<Option<OwnedFd>, Error> {
    match planned {
        None => Ok(None),
        Some(UserNamespace::Join(namespace)) => Ok(Some(namespace)),
        Some(UserNamespace::New(maps)) => {
            let lines = (id_map_lines(maps.uids), id_map_lines(maps.gids));
            runtime.spawner().make_user_namespace(lines.0, lines.1).map(Some)
        }
    }
}

fn namespace_plan(
    namespaces: Namespaces<'_>,
    user: Option<OwnedFd>,
    descriptors: &mut Descriptors<'_>,
) -> NamespacePlan {
    NamespacePlan {
        user: user.map(|namespace| descriptors.add(namespace)),
        pid: namespaces.pid.map(|namespace| descriptors.add(namespace)),
        join: namespaces
            .join
            .into_iter()
            .map(|(kind, namespace)| (kind, descriptors.add(namespace)))
            .collect(),
        new: namespaces.new,
        new_cgroup: namespaces.new_cgroup,
        new_time: namespaces.new_time,
    }
}

fn container_namespaces(namespaces: &Namespaces<'_>) -> ContainerNamespaces {
    use LinuxNamespaceType as Kind;
    let kinds = [
        (Kind::Mount, UnshareFlags::NEWNS),
        (Kind::Network, UnshareFlags::NEWNET),
        (Kind::Ipc, UnshareFlags::NEWIPC),
        (Kind::Uts, UnshareFlags::NEWUTS),
        (Kind::Cgroup, UnshareFlags::NEWCGROUP),
        (Kind::User, UnshareFlags::NEWUSER),
    ];
    let own = kinds
        .iter()
        .filter(|(kind, _)| namespaces.has_own(*kind))
        .fold(0, |bits, (_, flag)| bits | flag.bits());
    let has_time = namespaces.new_time.is_some() || namespaces.has_own(Kind::Time);
    ContainerNamespaces {
        joined_by_exec: if has_time { own | UnshareFlags::NEWTIME.bits() } else { own },
        other_pid: namespaces.has_own(Kind::Pid),
        private_pid: namespaces.makes(Kind::Pid),
    }
}

fn plan_rootfs(spec: &Spec, path: &Path, descriptors: &mut Descriptors<'_>) -> Result<RootfsPlan, Error> {
    let propagation =
        spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref()).unwrap_or_default();
    let propagation = match propagation {
        "" | "private" | "rprivate" => MountPropagationFlags::PRIVATE,
        "slave" | "rslave" => MountPropagationFlags::DOWNSTREAM,
        "shared" | "rshared" => MountPropagationFlags::SHARED,
        "unbindable" | "runbindable" => MountPropagationFlags::UNBINDABLE,
        other => return Err(PlanError::invalid("linux.rootfsPropagation", other, "is no propagation").into()),
    };
    let tree = clone_tree(path, Bind::Recursive).map_err(|errno| PlanError::Unusable {
        field: "root.path".into(),
        value: path.display().to_string(),
        action: "cannot be used as the root file system",
        errno,
    })?;
    // Never a peer of the host's mount; a shared root becomes shared, with a group of its own, once it is the root.
    let initial = match propagation {
        MountPropagationFlags::SHARED => MountPropagationFlags::PRIVATE,
        other => other,
    };
    let attributes = MountAttributes { propagation: u64::from(initial.bits()), ..MountAttributes::default() };
    mount_setattr(tree.as_fd(), attributes, None, true)
        .call("mount_setattr", || format!("{}, propagation {initial:?}", path.display()))?;
    Ok(RootfsPlan {
        tree: descriptors.add(tree),
        path: path_for_kernel(path).call("open_tree", || path.display().to_string())?,
        readonly: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        propagation: u64::from(propagation.bits()),
    })
}

impl ProcessDefaults {
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            seccomp: self.seccomp.clone(),
            session_keyring: self.session_keyring.clone(),
            personality: self.personality.as_ref(),
        }
    }

    pub(super) fn maps(&self) -> Option<IdMaps<'_>> {
        (!self.uid_mappings.is_empty())
            .then_some(IdMaps { uids: &self.uid_mappings, gids: &self.gid_mappings })
    }

    pub(super) fn listener_target(&self, state: &State) -> Option<ListenerTarget> {
        let listener = self.seccomp.as_ref()?.notify.clone()?;
        Some(ListenerTarget { listener, state: state.clone() })
    }
}

/// Names belong to the uts namespace; set in the host's they would rename the node.
fn own_name(
    namespaces: &Namespaces<'_>,
    field: &str,
    name: Option<&String>,
) -> Result<Option<String>, PlanError> {
    match name {
        Some(name) if !name.is_empty() && !namespaces.has_own(LinuxNamespaceType::Uts) => {
            Err(PlanError::invalid(field, name, "needs a uts namespace other than the host's"))
        }
        name => Ok(name.filter(|name| !name.is_empty()).cloned()),
    }
}

fn paths(field: &str, list: Option<&Vec<String>>) -> Result<Vec<CString>, PlanError> {
    list.into_iter().flatten().map(|path| absolute_path(field, Path::new(path))).collect()
}

/// The terminal's size, when the spec knows one and the request does not.
pub(super) fn with_console_size(io: ProcessIo, process: &oci_spec::runtime::Process) -> ProcessIo {
    match (io, process.console_size()) {
        (ProcessIo::Terminal { size: None }, Some(size)) => {
            let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
            ProcessIo::Terminal { size: Some((cells(size.height()), cells(size.width()))) }
        }
        (io, _) => io,
    }
}
