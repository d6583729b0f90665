//! The recipe of a container's first process.

use super::{
    Context, Control, Never, devices, identity, mounts, proc_view, program, protect, rootfs::Rootfs, terminal,
};
use crate::error::{ErrorKind, StepContext, StepError};
use crate::hooks;
use crate::plan::wire::{InitPlan, NamespacePlan, StdioPlan};
use crate::spawn::ChildMessage;
use crate::sys;
use rustix::thread::{UnshareFlags, move_into_link_name_space};

pub(super) fn run(plan: &InitPlan, context: &Context<'_>, control: &Control) -> StepError {
    match recipe(plan, context, control) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn recipe(plan: &InitPlan, context: &Context<'_>, control: &Control) -> Result<Never, StepError> {
    identity::new_session(&plan.process)?;
    enter_namespaces(&plan.namespaces, context)?;
    set_names(plan)?;
    // Only now: its paths are reached as the host's root, whatever the user namespace maps.
    let rootfs = Rootfs::attach(&plan.rootfs, context)?;
    if plan.namespaces.user.is_some() {
        identity::become_namespace_root()?;
    }

    mounts::mount_all(&rootfs, &plan.mounts, context)?;
    devices::make_all(&rootfs, &plan.devices, context)?;
    if let Some(view) = &plan.proc_view {
        proc_view::place(&rootfs, view, context)?;
    }
    // Runtime hooks see the finished mounts by this process's pid; the container's own run where the host is still `/`.
    if plan.hooks.wait_for_runtime {
        control.rendezvous(&ChildMessage::RootfsMounted, &[])?;
    }
    run_hooks("createContainer", &plan.hooks.create_container, plan)?;

    let terminal = match &plan.process.stdio {
        StdioPlan::Terminal { size } => {
            Some(terminal::open(rootfs.as_fd(), *size, &plan.process, control).and_then(|terminal| {
                terminal::bind_console(&rootfs, &terminal)?;
                Ok(terminal)
            })?)
        }
        StdioPlan::Streams(_) => None,
    };
    protect::write_sysctls(context.procfs, &plan.sysctls)?;
    // After everything that must still be written or read below these paths.
    protect::make_readonly(&rootfs, &plan.readonly_paths)?;
    protect::mask(&rootfs, &plan.masked_paths)?;
    // The host's files are gone after this line.
    rootfs.become_root(&plan.rootfs)?;

    identity::enter_working_directory(&plan.process)?;
    identity::assume(&plan.process, context)?;
    terminal::connect(&plan.process.stdio, terminal, context)?;
    let program = program::find(&plan.process)?;
    sys::close_on_exec_from(3).step(|| "close_range".into())?;
    control.rendezvous(&ChildMessage::Ready, &[])?;

    run_hooks("startContainer", &plan.hooks.start_container, plan)?;
    identity::confine(&plan.process, control)?;
    Err(program.execute())
}

fn enter_namespaces(namespaces: &NamespacePlan, context: &Context<'_>) -> Result<(), StepError> {
    for (kind, namespace) in &namespaces.join {
        move_into_link_name_space(context.descriptor(*namespace)?, None)
            .step(|| format!("join the {} namespace", namespace_name(*kind)))?;
    }
    if namespaces.new_cgroup {
        // Not part of the clone: its root is the cgroup that the process is in at this moment.
        sys::unshare(UnshareFlags::NEWCGROUP.bits()).step(|| "make a cgroup namespace".into())?;
    }
    Ok(())
}

fn namespace_name(kind: u32) -> &'static str {
    match UnshareFlags::from_bits_retain(kind) {
        UnshareFlags::NEWCGROUP => "cgroup",
        UnshareFlags::NEWIPC => "ipc",
        UnshareFlags::NEWNET => "network",
        UnshareFlags::NEWNS => "mount",
        UnshareFlags::NEWTIME => "time",
        UnshareFlags::NEWUTS => "uts",
        _ => "unknown",
    }
}

fn set_names(plan: &InitPlan) -> Result<(), StepError> {
    if let Some(hostname) = &plan.hostname {
        rustix::system::sethostname(hostname.as_bytes()).step(|| format!("sethostname {hostname:?}"))?;
    }
    if let Some(domainname) = &plan.domainname {
        rustix::system::setdomainname(domainname.as_bytes())
            .step(|| format!("setdomainname {domainname:?}"))?;
    }
    Ok(())
}

fn run_hooks(point: &'static str, list: &[hooks::Hook], plan: &InitPlan) -> Result<(), StepError> {
    if list.is_empty() {
        return Ok(());
    }
    let mut state = plan.hooks.state.clone();
    state.pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
    hooks::run_all(point, list, &state).map_err(|error| StepError {
        kind: ErrorKind::Internal,
        step: crate::error::report(&error),
        errno: None,
    })
}
