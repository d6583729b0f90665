//! A container's view of `/proc`: made between its cgroup and its first process, gone with its cgroup.

use crate::error::{CallContext, CallError, Error};
use crate::plan::wire::{CoverPlan, InitPlan, LastingPlan, ProcViewPlan};
use crate::plan::{ViewPlan, ViewReason};
use crate::proc_view::{
    ContainerTexts, Epoch, Mechanism, NativeViews, Origin, Placement, Selection, ShownFile, View,
    ViewDescription, ViewFile,
};
use crate::runtime::Runtime;
use crate::spawn::Descriptors;
use crate::sys::{MountAttributes, mount_setattr};
use ballast_cgroups::Cgroup;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, StatxFlags, access, accessat, statx};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

/// A pod that is limited bounds these files of its cgroup.
const LIMITS: [&str; 2] = ["memory.max", "cpu.max"];

/// Pressure files: of the cgroup, and what they cover.
const PRESSURE: [(&str, &CStr); 3] = [
    ("cpu.pressure", c"/proc/pressure/cpu"),
    ("io.pressure", c"/proc/pressure/io"),
    ("memory.pressure", c"/proc/pressure/memory"),
];

/// What the tree of the CPUs covers.
const CPUS_DIRECTORY: &CStr = c"/sys/devices/system/cpu";

/// What became of a view that was planned.
#[derive(Debug)]
pub(super) enum ViewOutcome {
    /// It is served, and part of the plan.
    Made(ViewOfContainer),
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
    runtime: &Runtime,
    cgroup: &Cgroup,
    plan: &mut InitPlan,
    descriptors: &mut Descriptors,
) -> Result<ViewOutcome, Error> {
    let made = match view.reason {
        ViewReason::Policy | ViewReason::PolicyIfPodIsLimited if runtime.native_views().isolates_all => {
            return Ok(ViewOutcome::NotNeeded);
        }
        ViewReason::PolicyIfPodIsLimited if !pod_is_limited(cgroup)? => return Ok(ViewOutcome::NotNeeded),
        _ => try_make(view, runtime, cgroup, plan, descriptors),
    };
    match made {
        Ok(made) => Ok(ViewOutcome::Made(made)),
        Err(error) if view.reason == ViewReason::Asked => Err(error),
        Err(error) => Ok(ViewOutcome::Failed(error)),
    }
}

fn try_make(
    view: &ViewPlan,
    runtime: &Runtime,
    cgroup: &Cgroup,
    plan: &mut InitPlan,
    descriptors: &mut Descriptors,
) -> Result<ViewOfContainer, Error> {
    let epoch = epoch(view.files);
    let origin = Origin::now(cgroup.lineage()?, view.rounding, epoch);
    let (of_the_kernel, of_the_shim) = divide(runtime.native_views(), view.files, cgroup)?;
    let served = runtime.views().serve(ContainerTexts::new(origin))?;
    let made = ViewOfContainer { served, of_the_shim, of_the_kernel, placement: Placement::InPlace };
    plan.proc_view = Some(made.plan_placing(cgroup, descriptors)?);
    if epoch != Epoch::default() {
        plan.namespaces.new_time = Some(format!("boottime -{} 0\n", epoch.boottime_s));
    }
    Ok(made)
}

fn live_files(selected: Selection) -> impl Iterator<Item = ViewFile> {
    selected.files().filter(|file| !file.is_lasting())
}

/// What the kernel itself can show of the container, and what is left to be shown by us.
fn divide(
    native: &NativeViews,
    mut selected: Selection,
    cgroup: &Cgroup,
) -> Result<(Vec<KernelFile>, Selection), Error> {
    let mut of_the_kernel = Vec::new();
    if selected.pressure {
        let exists = |file: &str| accessat(cgroup.as_fd(), file, Access::EXISTS, AtFlags::empty()).is_ok();
        let pressure = PRESSURE.into_iter().filter(|(file, _)| exists(file));
        of_the_kernel
            .extend(pressure.map(|(file, covers)| KernelFile { source: Source::Cgroup(file), covers }));
    }
    if native.has_files() && cgroup.become_view_boundary()? {
        for file in selected.files() {
            if let Some(path) = native.file(file) {
                of_the_kernel.push(KernelFile { source: Source::Node(path), covers: file.path() });
                selected = selected.without(file);
            }
        }
    }
    Ok((of_the_kernel, selected))
}

/// A file that the kernel answers, and nobody of ours is asked.
#[derive(Debug)]
struct KernelFile {
    source: Source,
    /// A path below `/proc`.
    covers: &'static CStr,
}

#[derive(Debug)]
enum Source {
    /// A file of the container's cgroup.
    Cgroup(&'static str),
    /// A file of the node's that shows the container of its reader.
    Node(PathBuf),
}

impl KernelFile {
    fn place<'a>(&'a self, cgroup: &'a Cgroup) -> (BorrowedFd<'a>, &'a Path) {
        match &self.source {
            Source::Cgroup(file) => (cgroup.as_fd(), Path::new(file)),
            Source::Node(path) => (CWD, path),
        }
    }

    /// As a tree to attach.
    fn tree(&self, cgroup: &Cgroup) -> Result<OwnedFd, CallError> {
        let (directory, path) = self.place(cgroup);
        let arguments = || path.display().to_string();
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(directory, path, flags).call("open_tree", arguments)?;
        mount_setattr(tree.as_fd(), MountAttributes::READ_ONLY, None, false)
            .call("mount_setattr", arguments)?;
        Ok(tree)
    }

    /// Where it goes below `/proc`.
    fn name(&self) -> CString {
        let path = self.covers.to_bytes();
        CString::new(path.strip_prefix(b"/proc/").unwrap_or(path)).unwrap_or_default()
    }
}

/// A view with what it is made of.
#[derive(Debug)]
pub(super) struct ViewOfContainer {
    pub(super) served: View,
    of_the_shim: Selection,
    of_the_kernel: Vec<KernelFile>,
    pub(super) placement: Placement,
}

impl ViewOfContainer {
    /// How it is put in the place of the kernel's files.
    pub(super) fn plan_placing(
        &self,
        cgroup: &Cgroup,
        descriptors: &mut Descriptors,
    ) -> Result<ProcViewPlan, Error> {
        let server = self.served.server();
        let live: Vec<_> = live_files(self.of_the_shim).collect();
        let lasting = LastingPlan { cpuinfo: self.shows_cpuinfo(), cpus: self.shows_cpus() };
        let live_tree = (!live.is_empty()).then(|| server.live_to_take_apart()).transpose()?;
        let lasting_tree =
            (lasting.cpuinfo || lasting.cpus).then(|| server.lasting_to_take_apart()).transpose()?;
        let live = live_tree.map(|tree| (descriptors.add(tree), live));
        let lasting = lasting_tree.map(|tree| (descriptors.add(tree), lasting));
        let mut trees = Vec::new();
        for file in &self.of_the_kernel {
            trees.push((descriptors.add(file.tree(cgroup)?), file.name()));
        }
        Ok(ProcViewPlan { directory: self.served.directory(), live, lasting, trees })
    }

    /// What it covers.
    pub(super) fn plan_withdrawing(&self, cgroup: &Cgroup) -> Result<Vec<CoverPlan>, Error> {
        let server = self.served.server();
        let mut covers = Vec::new();
        let mut add = |path: &CStr, device| covers.push(CoverPlan { path: path.to_owned(), device });
        let live = device(server.live(), Path::new(""))?;
        live_files(self.of_the_shim).for_each(|file| add(file.path(), live));
        let lasting = device(server.lasting(), Path::new(""))?;
        let cpuinfo = self.shows_cpuinfo().then(|| ViewFile::CpuInfo.path());
        let cpus = self.shows_cpus().then_some(CPUS_DIRECTORY);
        cpuinfo.into_iter().chain(cpus).for_each(|path| add(path, lasting));
        for file in &self.of_the_kernel {
            let (directory, path) = file.place(cgroup);
            add(file.covers, device(directory, path)?);
        }
        Ok(covers)
    }

    pub(super) fn describe(&self) -> ViewDescription {
        let counters = self.served.texts().counters();
        let of_the_shim = self.of_the_shim.files().map(|file| {
            let mechanism = if file.is_lasting() { Mechanism::Lasting } else { Mechanism::Live };
            ShownFile { path: file.path(), mechanism }
        });
        let of_the_kernel = self.of_the_kernel.iter();
        let of_the_kernel =
            of_the_kernel.map(|file| ShownFile { path: file.covers, mechanism: Mechanism::Kernel });
        ViewDescription {
            placement: self.placement,
            files: of_the_shim.chain(of_the_kernel).collect(),
            reads: counters.reads(),
            fallbacks: counters.fallbacks(),
        }
    }

    fn shows_cpuinfo(&self) -> bool {
        self.of_the_shim.contains(ViewFile::CpuInfo)
    }

    fn shows_cpus(&self) -> bool {
        self.of_the_shim.contains(ViewFile::CpusOnline)
    }
}

/// Which file system a file is of. Nobody is asked for anything.
fn device(directory: BorrowedFd<'_>, path: &Path) -> Result<(u32, u32), CallError> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let status = statx(directory, path, flags, StatxFlags::empty())
        .call("statx", || format!("{:?} of the view", path.display()))?;
    Ok((status.stx_dev_major, status.stx_dev_minor))
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
