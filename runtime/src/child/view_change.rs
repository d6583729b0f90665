//! The recipe of a process that changes what a running container is shown below `/proc` and `/sys`, and ends.
//!
//! It joins the container's mount namespace and nothing else. So it may take mounts off whatever user namespace owns them;
//! FUSE file systems that the container's user namespace made are not asked on its behalf (the kernel refuses); the container can
//! neither see nor signal it; and it stays in the shim's cgroup, out of reach of the container's freezer and limits.

use super::proc_view::Pieces;
use super::rootfs::Rootfs;
use super::{Context, Control};
use crate::error::{StepContext, StepError};
use crate::plan::wire::{CoverPlan, Descriptor, ProcViewPlan, ViewChange, ViewChangePlan};
use crate::spawn::ChildMessage;
use crate::sys;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, openat, openat2, statx,
};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::fchdir;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

/// How often the container may take a mount off just before this process does.
const RACES_MAX: usize = 16;

pub(super) fn run(plan: &ViewChangePlan, context: &Context<'_>, control: &Control) -> Result<(), StepError> {
    let paths = match &plan.change {
        ViewChange::Uncover(covers) => uncover_all(plan.target, covers, context)?,
        ViewChange::Cover(view) => cover_again(plan.target, view, context)?,
    };
    control.tell(&ChildMessage::ViewChanged { paths }, &[])
}

fn uncover_all(
    target: Descriptor,
    covers: &[CoverPlan],
    context: &Context<'_>,
) -> Result<Vec<String>, StepError> {
    let root = enter(target, context)?;
    let rootfs = Rootfs::entered(root.as_fd());
    let mut uncovered = Vec::new();
    for cover in covers {
        let path = cover.path.to_string_lossy();
        if uncover(&rootfs, cover, context.procfs).step(|| format!("uncover {path}"))? {
            uncovered.push(path.into_owned());
        }
    }
    Ok(uncovered)
}

fn cover_again(
    target: Descriptor,
    view: &ProcViewPlan,
    context: &Context<'_>,
) -> Result<Vec<String>, StepError> {
    // Taking a view apart wants a mount namespace that nobody else is in.
    sys::unshare(UnshareFlags::NEWNS.bits()).step(|| "make a mount namespace".into())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "make the mounts of the new namespace private".into())?;
    let own = open_root().step(|| "open the root directory".into())?;
    let pieces = Pieces::take(&Rootfs::entered(own.as_fd()), view, context)?;
    let root = enter(target, context)?;
    pieces.cover(&Rootfs::entered(root.as_fd()), is_the_kernels)
}

/// Joins the container's mount namespace and opens its root, which is that of the namespace, whatever root its processes have.
fn enter(target: Descriptor, context: &Context<'_>) -> Result<OwnedFd, StepError> {
    let namespace = ThreadNameSpaceType::from_bits_retain(UnshareFlags::NEWNS.bits());
    move_into_thread_name_spaces(context.descriptor(target)?, namespace)
        .step(|| "join the container's mount namespace".into())?;
    open_root().step(|| "open the container's root directory".into())
}

fn open_root() -> Result<OwnedFd, Errno> {
    openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Detaches what is ours at a path; returns whether anything was. The container's own mounts stay, and so does what they cover.
/// Files that are open keep their content.
fn uncover(rootfs: &Rootfs<'_>, cover: &CoverPlan, procfs: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (mut detached, mut races) = (false, 0);
    loop {
        let target = match rootfs.open_without_symlinks(&cover.path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(detached),
            target => target?,
        };
        if !is_mount_of(&target, cover.device)? {
            return Ok(detached);
        }
        // umount(2) takes no descriptor; this path leads to what was looked at and nowhere else. It is resolved in a procfs
        // that the container has no hand in, so following it is safe, and not following would not reach the mount.
        fchdir(procfs)?;
        match unmount(format!("self/fd/{}", target.as_raw_fd()), UnmountFlags::DETACH) {
            // It is not attached any more.
            Err(Errno::INVAL) if races < RACES_MAX => races += 1,
            result => {
                result?;
                detached = true;
            }
        }
    }
}

/// Whether this is the root of a mount of that file system. Nobody but the kernel is asked.
fn is_mount_of(target: &OwnedFd, device: (u32, u32)) -> Result<bool, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let status = statx(target, c"", flags, StatxFlags::empty())?;
    // Kernels before 5.8 do not say, and refuse to unmount what is none.
    let is_root = status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        || !status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root && (status.stx_dev_major, status.stx_dev_minor) == device)
}

/// Whether a file is the kernel's own, with nothing mounted over it.
fn is_the_kernels(directory: &OwnedFd, name: &str) -> Result<bool, StepError> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Ok(_) => Ok(true),
        Err(Errno::XDEV | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).step(|| format!("look at /proc/{name}")),
    }
}
