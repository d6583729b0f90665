//! A container's view of `/proc`: made between its cgroup and its first process, gone with its cgroup.

use super::create::duplicate;
use crate::error::{CallContext, CallError, Error};
use crate::plan::wire::{Descriptor, InitPlan, LastingPlan, ProcViewPlan};
use crate::plan::{ViewPlan, ViewReason};
use crate::proc_view::{
    ContainerTexts, Epoch, FuseMount, Mechanism, NativeViews, Origin, Selection, ShownFile, View, ViewFile,
    ViewMounts,
};
use crate::spawn::Descriptors;
use crate::sys::{MountAttributes, mount_setattr};
use ballast_cgroups::Cgroup;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, CWD, access};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::CString;
use std::path::Path;

/// A pod that is limited bounds these files of its cgroup.
const LIMITS: [&str; 2] = ["memory.max", "cpu.max"];

/// Pressure files: of the cgroup, and below `/proc`.
const PRESSURE: [(&str, &std::ffi::CStr); 3] = [
    ("cpu.pressure", c"pressure/cpu"),
    ("io.pressure", c"pressure/io"),
    ("memory.pressure", c"pressure/memory"),
];

/// A file to attach, and its path below `/proc`.
type Tree = (OwnedFd, CString);

/// What became of a view that was planned.
#[derive(Debug)]
pub(super) enum ViewOutcome {
    /// It is served, and part of the plan.
    Made(View),
    /// Nobody asked for it, and there is no need.
    NotNeeded,
    /// Nobody asked for it, and it cannot be had.
    Failed(Error),
}

/// Makes the view and adds it to the plan. The view is served from now on: placing it is the first that asks for it.
///
/// # Errors
/// When it was asked for and cannot be made.
pub(super) fn make_view(
    view: &ViewPlan,
    native: &NativeViews,
    cgroup: &Cgroup,
    plan: &mut InitPlan,
    descriptors: &mut Descriptors,
) -> Result<ViewOutcome, Error> {
    let made = match view.reason {
        ViewReason::Policy | ViewReason::PolicyIfPodIsLimited if native.isolates_all => {
            return Ok(ViewOutcome::NotNeeded);
        }
        ViewReason::PolicyIfPodIsLimited if !pod_is_limited(cgroup)? => return Ok(ViewOutcome::NotNeeded),
        _ => try_make(view, native, cgroup, plan, descriptors),
    };
    match made {
        Ok(made) => Ok(ViewOutcome::Made(made)),
        Err(error) if view.reason == ViewReason::Asked => Err(error),
        Err(error) => Ok(ViewOutcome::Failed(error)),
    }
}

fn try_make(
    view: &ViewPlan,
    native: &NativeViews,
    cgroup: &Cgroup,
    plan: &mut InitPlan,
    descriptors: &mut Descriptors,
) -> Result<View, Error> {
    let epoch = epoch(view.files);
    let origin = Origin::now(cgroup.lineage()?, view.rounding, epoch);
    let mut of_the_kernel = if view.files.pressure { pressure_trees(cgroup)? } else { Vec::new() };
    let (native, selected) = native_trees(native, view.files, cgroup)?;
    of_the_kernel.extend(native);
    let (mounts, (live, lasting)) = mounts(selected, descriptors)?;
    let files = shown_files(selected, of_the_kernel.iter().map(|(_, name)| name));
    let made = View::serve(mounts, ContainerTexts::new(origin), files)?;
    if epoch != Epoch::default() {
        plan.namespaces.new_time = Some(format!("boottime -{} 0\n", epoch.boottime_s));
    }
    plan.proc_view = Some(ProcViewPlan {
        live,
        lasting,
        trees: of_the_kernel.into_iter().map(|(tree, path)| (descriptors.add(tree), path)).collect(),
    });
    Ok(made)
}

/// What a plan refers to of the files that are made for each reader, and of those that last.
type Shown = (Option<(Descriptor, Vec<ViewFile>)>, Option<(Descriptor, LastingPlan)>);

/// The file systems that the selected files need.
fn mounts(selected: Selection, descriptors: &mut Descriptors<'_>) -> Result<(ViewMounts, Shown), Error> {
    let mut mounts = ViewMounts::default();
    let (mut live, mut lasting) = (None, None);
    let files: Vec<_> = selected.files().filter(|file| !file.is_lasting()).collect();
    if !files.is_empty() {
        let mount = FuseMount::new()?;
        live = Some((descriptors.add(duplicate(mount.tree.as_fd())?), files));
        mounts.live = Some(mount);
    }
    let plan = LastingPlan {
        cpuinfo: selected.contains(ViewFile::CpuInfo),
        cpus: selected.contains(ViewFile::CpusOnline),
    };
    if plan.cpuinfo || plan.cpus {
        let mount = FuseMount::new()?;
        lasting = Some((descriptors.add(duplicate(mount.tree.as_fd())?), plan));
        mounts.lasting = Some(mount);
    }
    Ok((mounts, (live, lasting)))
}

/// What the container is shown, as people should be told.
fn shown_files<'a>(selected: Selection, of_the_kernel: impl Iterator<Item = &'a CString>) -> Vec<ShownFile> {
    let of_the_shim = selected.files().map(|file| {
        let mechanism = if file.is_lasting() { Mechanism::Lasting } else { Mechanism::Live };
        ShownFile { path: file.path().to_string_lossy().into_owned(), mechanism }
    });
    let of_the_kernel = of_the_kernel.map(|name| ShownFile {
        path: format!("/proc/{}", name.to_string_lossy()),
        mechanism: Mechanism::Kernel,
    });
    of_the_shim.chain(of_the_kernel).collect()
}

/// The container's boot is now, where the kernel can show that consistently: in a time namespace.
fn epoch(files: Selection) -> Epoch {
    let has_namespaces = access("/proc/self/ns/time", Access::EXISTS).is_ok();
    if has_namespaces && files.contains(ViewFile::Uptime) { Epoch::now() } else { Epoch::default() }
}

fn pod_is_limited(cgroup: &Cgroup) -> Result<bool, Error> {
    let Some(pod) = cgroup.enclosing()? else { return Ok(false) };
    let mut content = Vec::new();
    for file in LIMITS {
        if let Some(file) = pod.file(file)?
            && !file.read(&mut content)?.starts_with("max")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The cgroup's pressure files as trees to attach; the kernel answers them, and nobody of ours is asked.
fn pressure_trees(cgroup: &Cgroup) -> Result<Vec<Tree>, Error> {
    let mut trees = Vec::new();
    for (file, path) in PRESSURE {
        match read_only_tree(cgroup.as_fd(), Path::new(file)) {
            Err(CallError { errno: Errno::NOENT, .. }) => {}
            tree => trees.push((tree?, path.to_owned())),
        }
    }
    Ok(trees)
}

/// The files that the kernel itself can show of the container, and what is left to be shown by us.
fn native_trees(
    native: &NativeViews,
    mut selected: Selection,
    cgroup: &Cgroup,
) -> Result<(Vec<Tree>, Selection), Error> {
    let mut trees = Vec::new();
    if !native.has_files() || !cgroup.become_view_boundary()? {
        return Ok((trees, selected));
    }
    for file in selected.files() {
        let name = file.path().to_bytes().strip_prefix(b"/proc/").and_then(|name| CString::new(name).ok());
        if let (Some(path), Some(name)) = (native.file(file), name) {
            trees.push((read_only_tree(CWD, &path)?, name));
            selected = selected.without(file);
        }
    }
    Ok((trees, selected))
}

fn read_only_tree(directory: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, CallError> {
    let arguments = || path.display().to_string();
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(directory, path, flags).call("open_tree", arguments)?;
    mount_setattr(tree.as_fd(), MountAttributes::READ_ONLY, None, false).call("mount_setattr", arguments)?;
    Ok(tree)
}
