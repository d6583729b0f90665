//! The plan for the spawner with the descriptors that it refers to. Opens and clones, changes nothing: dropping it undoes it.

use super::CreateOptions;
use super::blueprint::Blueprint;
use crate::container::cpu_view::NarrowedCpus;
use crate::container::proc_view::{ViewOutcome, make_view};
use crate::container::process_defaults::{ProcessDefaults, with_console_size};
use crate::container::standing::Standing;
use crate::container::sysinfo::{SysinfoOutcome, make_sysinfo};
use crate::container::{ContainerNamespaces, Shortfall};
use crate::error::{CallContext, Error};
use crate::plan::wire::{InitPlan, NamespacePlan, RootfsPlan};
use crate::plan::{
    Bind, Binder, CpuViewPlan, IdMaps, Namespaces, PlanError, RuntimeHooks, SysinfoPlan, UserNamespace,
    ViewPlan, absolute_path, clone_tree, id_map_lines, plan_devices, plan_mounts, plan_process, plan_sysctls,
};
use crate::proc_view::ViewPolicy;
use crate::process::ProcessIo;
use crate::rootfs::path_for_kernel;
use crate::runtime::Runtime;
use crate::spawn::Descriptors;
use crate::sys::{MountAttributes, mount_setattr};
use ballast_cgroups::{Cgroup, CgroupPath, Limits};
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Spec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::path::Path;

/// The finished plan, with what goes beside it.
pub(super) struct Order {
    pub(super) plan: Box<InitPlan>,
    pub(super) descriptors: Descriptors<'static>,
    pub(super) namespaces: ContainerNamespaces,
    pub(super) defaults: ProcessDefaults,
    pub(super) cgroup_path: CgroupPath,
    pub(super) limits: Limits,
    /// Taken by whoever makes the cgroup.
    pub(super) standing: Option<Standing>,
    pub(super) device_program: Option<Vec<u64>>,
    pub(super) runtime_hooks: RuntimeHooks,
    pub(super) proc_view: Option<ViewPlan>,
    /// See [`crate::plan::precedes_views`].
    pub(super) precedes_views: bool,
    pub(super) sysinfo: SysinfoPlan,
    pub(super) cpu_view: CpuViewPlan,
}

impl Order {
    /// Opens and clones what the plan refers to. Descriptors only: dropping them undoes it.
    pub(super) fn write(
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
            // Known once there is a cgroup.
            sysinfo: None,
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
            precedes_views: blueprint.precedes_views,
            sysinfo: blueprint.sysinfo,
            cpu_view: blueprint.cpu_view,
            descriptors,
            namespaces,
            defaults,
            cgroup_path: blueprint.cgroup_path,
            limits: blueprint.limits,
            standing: Some(blueprint.standing),
            device_program: blueprint.device_program,
            runtime_hooks: blueprint.runtime_hooks,
        })
    }

    /// Makes the view, which needs the cgroup to be there.
    pub(super) fn make_view(&mut self, cgroup: &Cgroup, runtime: &Runtime) -> Result<ViewOutcome, Error> {
        let Some(view) = &self.proc_view else { return Ok(ViewOutcome::NotNeeded) };
        let outcome = make_view(view, runtime, cgroup, &mut self.plan, &mut self.descriptors)?;
        if self.plan.namespaces.new_time.is_some() {
            self.namespaces.joined_by_exec |= UnshareFlags::NEWTIME.bits();
        }
        Ok(outcome)
    }

    /// Makes the answers to `sysinfo` calls, which need the cgroup and what became of the view. Returns why there are none
    /// though the policy wants them.
    pub(super) fn make_sysinfo(
        &mut self,
        view: &ViewOutcome,
        cgroup: &Cgroup,
        runtime: &Runtime,
        policy: &ViewPolicy,
    ) -> Result<Option<Shortfall>, Error> {
        let plan = std::mem::replace(&mut self.sysinfo, SysinfoPlan::Off);
        match make_sysinfo(plan, view, policy.rounding, cgroup, runtime)? {
            SysinfoOutcome::Made(sysinfo) => {
                self.plan.process.sysinfo = Some(sysinfo.filter.clone());
                self.defaults.sysinfo = Some(sysinfo);
                Ok(None)
            }
            SysinfoOutcome::NotNeeded => Ok(None),
            SysinfoOutcome::Failed(error) => {
                Ok(Some(Shortfall { consequence: "sysinfo(2) tells the container of the host", error }))
            }
        }
    }

    /// Chooses the container's CPUs, before anything of it runs.
    pub(super) fn narrow_cpus(
        &self,
        view: &ViewOutcome,
        cgroup: &Cgroup,
        resources: Option<&LinuxResources>,
        policy: &ViewPolicy,
    ) -> Result<(Option<NarrowedCpus>, Option<Shortfall>), Error> {
        let has_view = matches!(view, ViewOutcome::Made(_));
        if self.cpu_view == CpuViewPlan::Files || (self.cpu_view == CpuViewPlan::WithView && !has_view) {
            return Ok((None, None));
        }
        let narrowed = NarrowedCpus::new(policy.rounding, resources);
        match narrowed.establish(cgroup) {
            Ok(()) => Ok((Some(narrowed), None)),
            Err(error) if self.cpu_view == CpuViewPlan::Asked => Err(error),
            Err(error) => {
                let consequence = "the container can run on more CPUs than its quota is worth";
                Ok((None, Some(Shortfall { consequence, error })))
            }
        }
    }
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
