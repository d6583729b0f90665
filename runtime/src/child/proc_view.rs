//! Puts the files of the container's view in the place of the kernel's.

use super::Context;
use super::rootfs::{Rootfs, attach};
use crate::error::{StepContext, StepError};
use crate::plan::wire::ProcViewPlan;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Dir, Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, UnmountFlags, open_tree, unmount};
use rustix::process::fchdir;
use std::ffi::CStr;

/// Linux `include/uapi/linux/magic.h`.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// Covers each file that the kernel has. What the spec mounted there itself stays, and so does a `/proc` that is none.
pub(super) fn place(
    rootfs: &Rootfs<'_>,
    plan: &ProcViewPlan,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let view = context.descriptor(plan.tree)?;
    let files: Vec<_> = plan.files.iter().map(|file| (file.name(), file.path())).collect();
    let trees = file_trees(rootfs, view, files.iter().map(|(name, _)| *name))
        .step(|| "take apart the view of /proc".into())?;
    for (tree, (_, path)) in trees.iter().zip(files) {
        cover(rootfs, path, tree.as_fd())?;
    }
    for (tree, path) in &plan.trees {
        cover(rootfs, path, context.descriptor(*tree)?)?;
    }
    Ok(())
}

/// A tree of each file. Before Linux 6.15 they can be taken of an attached mount only, so it is attached for that moment, in
/// this mount namespace that nobody else is in.
fn file_trees<'a>(
    rootfs: &Rootfs<'_>,
    view: BorrowedFd<'_>,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<OwnedFd>, Errno> {
    let place = rootfs.open(c"/", OFlags::PATH | OFlags::DIRECTORY)?;
    attach(view, &place)?;
    look_all_up(view)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let trees = names.map(|name| open_tree(view, name, flags)).collect();
    fchdir(view)?;
    unmount(".", UnmountFlags::DETACH)?;
    fchdir(rootfs.as_fd())?;
    trees
}

/// Lists the directory, which tells the kernel of all its files in three requests instead of one for each.
fn look_all_up(view: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(view, c".", flags, Mode::empty())?;
    Dir::new(directory)?.try_for_each(|entry| entry.map(drop))
}

fn cover(rootfs: &Rootfs<'_>, path: &CStr, tree: BorrowedFd<'_>) -> Result<(), StepError> {
    let cover = || -> Result<(), Errno> {
        let target = match rootfs.open_without_symlinks(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            target => target?,
        };
        if matches!(fstatfs(&target)?.f_type, PROC_SUPER_MAGIC | SYSFS_MAGIC) {
            attach(tree, &target)?;
        }
        Ok(())
    };
    cover().step(|| format!("cover {} with the container's view", path.to_string_lossy()))
}
