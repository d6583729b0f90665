//! Puts the files of the container's view in the place of the kernel's.

use super::Context;
use super::rootfs::{Rootfs, attach};
use crate::error::{StepContext, StepError};
use crate::plan::wire::ProcViewPlan;
use crate::proc_view::{CPU_INFO, CPUS};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
use rustix::path::Arg;
use rustix::process::fchdir;
use std::ffi::CStr;

/// A directory of the kernel's own files. Names in it are the kernel's, not links and not the image's, so that they can be
/// used without being looked at.
struct KernelDirectory {
    path: &'static CStr,
    /// Linux `include/uapi/linux/magic.h`.
    magic: i64,
}

const PROCFS: KernelDirectory = KernelDirectory { path: c"/proc", magic: 0x9fa0 };
const SYSFS_CPUS: KernelDirectory = KernelDirectory { path: c"/sys/devices/system/cpu", magic: 0x6265_6572 };

impl KernelDirectory {
    /// Opens it where it is what it should be.
    fn open(&self, rootfs: &Rootfs<'_>) -> Result<Option<OwnedFd>, StepError> {
        let open = || match rootfs.open_without_symlinks(self.path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno),
            Ok(directory) => Ok((fstatfs(&directory)?.f_type == self.magic).then_some(directory)),
        };
        open().step(|| format!("open {}", text(self.path)))
    }
}

/// Covers what the kernel has. A `/proc` that is none stays as it is.
pub(super) fn place(
    rootfs: &Rootfs<'_>,
    plan: &ProcViewPlan,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let mut files = Vec::new();
    let mut cpus = None;
    if let Some((view, shown)) = &plan.live {
        let names = shown.iter().map(|file| file.name());
        let trees = take_apart(rootfs, context.descriptor(*view)?, names.clone(), look_all_up)?;
        files.extend(names.zip(trees));
    }
    if let Some((view, shown)) = &plan.lasting {
        let names = [(shown.cpuinfo, CPU_INFO), (shown.cpus, CPUS)];
        let names = names.into_iter().filter(|(is_shown, _)| *is_shown).map(|(_, name)| name);
        let trees = take_apart(rootfs, context.descriptor(*view)?, names.clone(), |_| Ok(()))?;
        for (name, tree) in names.zip(trees) {
            if name == CPUS { cpus = Some(tree) } else { files.push((name, tree)) }
        }
    }
    if let Some(procfs) = PROCFS.open(rootfs)? {
        for (name, tree) in &files {
            cover(&procfs, *name, tree.as_fd())?;
        }
        for (tree, name) in &plan.trees {
            cover(&procfs, name.as_c_str(), context.descriptor(*tree)?)?;
        }
    }
    if let Some(cpus) = cpus
        && let Some(directory) = SYSFS_CPUS.open(rootfs)?
    {
        attach(&cpus, &directory).step(|| format!("cover {}", text(SYSFS_CPUS.path)))?;
    }
    Ok(())
}

/// A tree of each name in a view. Before Linux 6.15 they can be cloned of an attached mount only, so it is attached for that
/// moment, in this mount namespace that nobody else is in.
fn take_apart<'a>(
    rootfs: &Rootfs<'_>,
    view: BorrowedFd<'_>,
    names: impl Iterator<Item = &'a str> + Clone,
    prepare: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<Vec<OwnedFd>, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone_each = || names.clone().map(|name| open_tree(view, name, flags)).collect();
    let take_apart = || {
        prepare(view)?;
        match clone_each() {
            Err(Errno::INVAL) => while_attached(rootfs, view, clone_each),
            trees => trees,
        }
    };
    take_apart().step(|| "take apart the view of /proc".into())
}

fn while_attached<T>(
    rootfs: &Rootfs<'_>,
    view: BorrowedFd<'_>,
    step: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let place = rootfs.open(c"/", OFlags::PATH | OFlags::DIRECTORY)?;
    attach(view, &place)?;
    let done = step();
    fchdir(view)?;
    unmount(".", UnmountFlags::DETACH)?;
    fchdir(rootfs.as_fd())?;
    done
}

/// Lists the directory, which tells the kernel of all its files in two requests instead of one for each.
fn look_all_up(view: BorrowedFd<'_>) -> Result<(), Errno> {
    let directory = openat(view, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::<u8>::with_capacity(4096);
    // One call gets as much as the server puts into one answer; the rest would be looked up by name.
    RawDir::new(directory, buffer.spare_capacity_mut()).next().map_or(Ok(()), |entry| entry.map(drop))
}

fn cover(place: &OwnedFd, name: impl Arg + Copy, tree: BorrowedFd<'_>) -> Result<(), StepError> {
    match move_mount(tree, c"", place, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) {
        // A kernel without it.
        Err(Errno::NOENT) => Ok(()),
        result => result.step(|| format!("cover {} with the container's view", name.to_string_lossy())),
    }
}

fn text(path: &CStr) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}
