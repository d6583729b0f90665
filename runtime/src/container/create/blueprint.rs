//! Validate: everything about a container that can be known, and refused, before anything is touched.

use super::CreateRequest;
use crate::bundle::SeccompText;
use crate::container::device_program;
use crate::container::memory_qos::MemoryQosOfContainer;
use crate::container::priority::PriorityOfContainer;
use crate::container::standing::Standing;
use crate::error::Error;
use crate::hooks::State;
use crate::plan::wire::HookPlan;
use crate::plan::{
    self, Annotations, CpuViewPlan, IdMaps, Namespaces, PlanError, RuntimeHooks, SysinfoPlan, ViewPlan,
    plan_cpu_view, plan_hooks, plan_memory_qos, plan_namespaces, plan_proc_view, plan_sysinfo,
    precedes_views,
};
use crate::runtime::Runtime;
use crate::seccomp::Filter;
use ballast_cgroups::{CgroupPath, Limits};
use oci_spec::runtime::Spec;
use std::path::PathBuf;

/// What a spec and a request come down to. Most of it borrows from the spec.
pub(super) struct Blueprint<'a> {
    pub(super) namespaces: Namespaces<'a>,
    pub(super) maps: Option<IdMaps<'a>>,
    pub(super) rootfs_path: PathBuf,
    pub(super) cgroup_path: CgroupPath,
    pub(super) limits: Limits,
    pub(super) standing: Standing,
    pub(super) device_program: Option<Vec<u64>>,
    pub(super) seccomp: Option<Filter>,
    pub(super) runtime_hooks: RuntimeHooks,
    pub(super) container_hooks: HookPlan,
    pub(super) proc_view: Option<ViewPlan>,
    /// See [`precedes_views`].
    pub(super) precedes_views: bool,
    pub(super) sysinfo: SysinfoPlan,
    pub(super) cpu_view: CpuViewPlan,
}

impl<'a> Blueprint<'a> {
    pub(super) fn draw(
        runtime: &Runtime,
        spec: &'a Spec,
        seccomp: Option<&SeccompText>,
        request: &CreateRequest,
    ) -> Result<Self, Error> {
        plan::refuse_unsupported(spec)?;
        let annotations = Annotations::of(spec)?;
        let linux = spec.linux().as_ref().ok_or(PlanError::Missing { field: "linux" })?;
        let root = spec.root().as_ref().ok_or(PlanError::Missing { field: "root" })?;
        let resources = linux.resources().as_ref();
        let cgroup_path = match linux.cgroups_path() {
            Some(path) if !path.as_os_str().is_empty() => CgroupPath::parse(&path.to_string_lossy())?,
            _ => CgroupPath::for_container(&request.id)?,
        };
        let mut limits = resources.map(Limits::from_oci).transpose()?.unwrap_or_default();
        let priority =
            PriorityOfContainer::plan(runtime, spec, &annotations, &cgroup_path, &request.options.priority)?;
        let policy = &request.options.memory_qos;
        let memory_qos = plan_memory_qos(spec, &annotations, &cgroup_path, priority.level(), policy)?
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
        let seccomp = seccomp.map(|profile| runtime.seccomp_filter(profile)).transpose()?;
        Ok(Self {
            sysinfo: plan_sysinfo(&annotations, &namespaces, seccomp.as_ref(), &request.options.proc_view)?,
            cpu_view: plan_cpu_view(&annotations, &request.options.proc_view)?,
            proc_view: plan_proc_view(spec, &annotations, &namespaces, &request.options.proc_view)?,
            precedes_views: precedes_views(&annotations, &request.options.proc_view)?,
            namespaces,
            maps: IdMaps::from_spec("linux", linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref())?,
            rootfs_path: request.bundle.join(root.path()),
            cgroup_path,
            limits,
            standing: Standing { memory_qos, priority },
            device_program: device_program(resources)?,
            seccomp,
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
