//! The container's mounts, in the order of the spec.

use super::rootfs::{MountPoint, Rootfs, attach, file_type};
use super::{Context, copy_up};
use crate::error::{ErrorKind, StepContext, StepError};
use crate::plan::wire::{MountPlan, MountSource};
use crate::sys::{MountAttributes, mount_setattr};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, OpenTreeFlags, mount, open_tree};
use rustix::process::fchdir;
use std::ffi::CStr;

pub(super) fn mount_all(
    rootfs: &Rootfs<'_>,
    mounts: &[MountPlan],
    context: &Context<'_>,
) -> Result<(), StepError> {
    mounts.iter().try_for_each(|plan| mount_one(rootfs, plan, context))
}

fn mount_one(rootfs: &Rootfs<'_>, plan: &MountPlan, context: &Context<'_>) -> Result<(), StepError> {
    match &plan.source {
        MountSource::Tree { tree, directory } => {
            let kind = if *directory { MountPoint::Directory } else { MountPoint::File };
            let target =
                rootfs.mount_point(&plan.destination, kind).step(|| describe("find or make", plan))?;
            if let Err(errno) = attach(context.descriptor(*tree)?, &target) {
                // The kernel refuses a file on a directory and the other way round, but does not say that this is why.
                let is_directory =
                    file_type(&target).step(|| describe("examine", plan))? == FileType::Directory;
                return Err(if is_directory == *directory {
                    StepError::of(errno, describe("attach", plan))
                } else {
                    mismatch(plan, *directory)
                });
            }
            rootfs.done_with(target);
        }
        MountSource::Filesystem { kind, source, flags, data, refuse_symlinks, copy_up } => {
            let target = if *refuse_symlinks {
                target_without_symlinks(rootfs, plan)?
            } else {
                rootfs
                    .mount_point(&plan.destination, MountPoint::Directory)
                    .step(|| describe("find or make", plan))?
            };
            mount_on(&target, source, kind, *flags, data).step(|| {
                format!("mount {} on {}", kind.to_string_lossy(), plan.destination.to_string_lossy())
            })?;
            if *copy_up {
                copy_up_into(rootfs, plan, &target)?;
            }
            rootfs.done_with(target);
        }
        MountSource::Cgroup { flags, data } => {
            let target = rootfs
                .mount_point(&plan.destination, MountPoint::Directory)
                .step(|| describe("find or make", plan))?;
            mount_cgroup(&target, *flags, data).step(|| describe("mount cgroup2 on", plan))?;
            rootfs.done_with(target);
        }
    }
    set_attributes(rootfs, plan)
}

/// For procfs and sysfs: a link in their place would let the image choose what is later masked, written or trusted
/// (CVE-2019-16884, CVE-2019-19921).
fn target_without_symlinks(rootfs: &Rootfs<'_>, plan: &MountPlan) -> Result<OwnedFd, StepError> {
    let open = || rootfs.open_without_symlinks(&plan.destination, OFlags::PATH | OFlags::DIRECTORY);
    let refusal = |errno| match errno {
        Errno::LOOP => StepError {
            kind: ErrorKind::InvalidArgument,
            step: format!(
                "mount on {}: the root file system has a symbolic link there, which is refused",
                plan.destination.to_string_lossy()
            ),
            errno: None,
        },
        Errno::NOTDIR => StepError {
            kind: ErrorKind::InvalidArgument,
            step: format!("mount on {}: it is not a directory", plan.destination.to_string_lossy()),
            errno: None,
        },
        errno => StepError::of(errno, describe("find", plan)),
    };
    match open() {
        Err(Errno::NOENT) => {
            // A link in its way, dangling perhaps, is followed here and refused below.
            let made = rootfs
                .make_mount_point(&plan.destination, MountPoint::Directory)
                .step(|| describe("make", plan))?;
            rootfs.done_with(made);
            open().map_err(refusal)
        }
        result => result.map_err(refusal),
    }
}

/// Mounts on the very directory behind `target`: `.` is the one path that nobody can redirect.
fn mount_on(target: &OwnedFd, source: &CStr, kind: &CStr, flags: u64, data: &CStr) -> Result<(), Errno> {
    fchdir(target)?;
    let flags = MountFlags::from_bits_retain(u32::try_from(flags).map_err(|_| Errno::INVAL)?);
    mount(source, c".", kind, flags, if data.is_empty() { None } else { Some(data) })
}

fn mount_cgroup(target: &OwnedFd, flags: u64, data: &CStr) -> Result<(), Errno> {
    match mount_on(target, c"cgroup", c"cgroup2", flags, data) {
        // A user namespace without a cgroup namespace of its own may not mount it, but may see the host's.
        Err(Errno::PERM | Errno::BUSY) => {
            let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, "/sys/fs/cgroup", clone | OpenTreeFlags::AT_RECURSIVE)?;
            if flags & u64::from(MountFlags::RDONLY.bits()) != 0 {
                mount_setattr(tree.as_fd(), MountAttributes::READ_ONLY, None, true)?;
            }
            attach(&tree, target)
        }
        result => result,
    }
}

fn copy_up_into(rootfs: &Rootfs<'_>, plan: &MountPlan, below: &OwnedFd) -> Result<(), StepError> {
    let above =
        rootfs.open(&plan.destination, OFlags::PATH | OFlags::DIRECTORY).step(|| describe("reopen", plan))?;
    copy_up::copy_directory(below.as_fd(), above.as_fd())
        .step(|| describe("copy up the image's files of", plan))
}

fn set_attributes(rootfs: &Rootfs<'_>, plan: &MountPlan) -> Result<(), StepError> {
    if plan.attributes.is_empty() && plan.recursive_attributes.is_empty() {
        return Ok(());
    }
    let mounted = rootfs.open(&plan.destination, OFlags::PATH).step(|| describe("reopen", plan))?;
    for (attributes, recursive) in [(plan.attributes, false), (plan.recursive_attributes, true)] {
        if !attributes.is_empty() {
            mount_setattr(mounted.as_fd(), attributes, None, recursive)
                .step(|| describe("set the attributes of", plan))?;
        }
    }
    rootfs.done_with(mounted);
    Ok(())
}

fn mismatch(plan: &MountPlan, source_is_directory: bool) -> StepError {
    let (source, target) =
        if source_is_directory { ("a directory", "is not one") } else { ("a file", "is a directory") };
    StepError {
        kind: ErrorKind::InvalidArgument,
        step: format!(
            "mount on {}: the source is {source} and the destination {target}",
            plan.destination.to_string_lossy()
        ),
        errno: None,
    }
}

fn describe(action: &str, plan: &MountPlan) -> String {
    format!("{action} the mount point {}", plan.destination.to_string_lossy())
}
