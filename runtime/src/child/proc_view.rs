//! Puts the files of the container's view in the place of the kernel's.

use super::Context;
use super::rootfs::{Rootfs, attach};
use crate::error::{StepContext, StepError};
use crate::plan::wire::ProcViewPlan;
use crate::proc_view::ViewFile;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
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
const CPUS: KernelDirectory = KernelDirectory { path: c"/sys/devices/system/cpu", magic: 0x6265_6572 };

impl KernelDirectory {
    /// Opens it where it is what it should be.
    fn open(&self, rootfs: &Rootfs<'_>) -> Result<Option<OwnedFd>, Errno> {
        match rootfs.open_without_symlinks(self.path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno),
            Ok(directory) => Ok((fstatfs(&directory)?.f_type == self.magic).then_some(directory)),
        }
    }

    /// The name of a file in it.
    fn name_of(&self, file: ViewFile) -> Option<&'static CStr> {
        let rest = file.path().to_bytes_with_nul().strip_prefix(self.path.to_bytes())?.strip_prefix(b"/")?;
        CStr::from_bytes_with_nul(rest).ok()
    }
}

/// Covers each file that the kernel has. A `/proc` that is none stays as it is.
pub(super) fn place(
    rootfs: &Rootfs<'_>,
    plan: &ProcViewPlan,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let view = context.descriptor(plan.tree)?;
    let trees = file_trees(rootfs, view, &plan.files).step(|| "take apart the view of /proc".into())?;
    for directory in [PROCFS, CPUS] {
        let Some(place) = directory.open(rootfs).step(|| format!("open {}", text(directory.path)))? else {
            continue;
        };
        for (file, tree) in plan.files.iter().zip(&trees) {
            if let Some(name) = directory.name_of(*file) {
                cover(&place, name, tree.as_fd())?;
            }
        }
        if directory.magic == PROCFS.magic {
            for (tree, name) in &plan.trees {
                cover(&place, name, context.descriptor(*tree)?)?;
            }
        }
    }
    Ok(())
}

/// A tree of each file.
fn file_trees(rootfs: &Rootfs<'_>, view: BorrowedFd<'_>, files: &[ViewFile]) -> Result<Vec<OwnedFd>, Errno> {
    look_all_up(view)?;
    match clone_each(view, files) {
        Err(Errno::INVAL) => while_attached(rootfs, view, || clone_each(view, files)),
        trees => trees,
    }
}

fn clone_each(view: BorrowedFd<'_>, files: &[ViewFile]) -> Result<Vec<OwnedFd>, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    files.iter().map(|file| open_tree(view, file.name(), flags)).collect()
}

/// Before Linux 6.15 trees can be cloned of an attached mount only, so it is attached for that moment, in this mount
/// namespace that nobody else is in.
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

fn cover(place: &OwnedFd, name: &CStr, tree: BorrowedFd<'_>) -> Result<(), StepError> {
    match move_mount(tree, c"", place, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) {
        // A kernel without it.
        Err(Errno::NOENT) => Ok(()),
        result => result.step(|| format!("cover {} with the container's view", text(name))),
    }
}

fn text(path: &CStr) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}
