//! What of `/proc` and `/sys` the container may not see or change, and the sysctls that it gets.

use super::devices::open_host_null;
use super::rootfs::{Rootfs, attach, file_type};
use crate::error::{ErrorKind, StepContext, StepError};
use crate::plan::wire::Sysctl;
use crate::sys::{MountAttributes, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use std::ffi::CString;

/// Writes the sysctls through a procfs that the image has no hand in, so that no link or mount can redirect the write.
pub(super) fn write_sysctls(procfs: BorrowedFd<'_>, sysctls: &[Sysctl]) -> Result<(), StepError> {
    for sysctl in sysctls {
        let name = sysctl.path.to_string_lossy();
        let path = format!("sys/{name}");
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let write = || -> Result<(), Errno> {
            let file =
                openat2(procfs, path.as_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
            rustix::io::write(&file, sysctl.value.as_bytes()).map(drop)
        };
        write().map_err(|errno| StepError {
            kind: if errno == Errno::NOENT { ErrorKind::InvalidArgument } else { ErrorKind::Internal },
            step: format!("set the sysctl {} to {:?}", name.replace('/', "."), sysctl.value),
            errno: Some(errno.raw_os_error()),
        })?;
    }
    Ok(())
}

/// Makes each path that exists read-only by a mount of itself over itself.
pub(super) fn make_readonly(rootfs: &Rootfs<'_>, paths: &[CString]) -> Result<(), StepError> {
    for path in paths {
        let protect = || -> Result<(), Errno> {
            let Some(target) = open_if_present(rootfs, path)? else { return Ok(()) };
            let tree = clone_of(&target, OpenTreeFlags::AT_RECURSIVE)?;
            mount_setattr(tree.as_fd(), MountAttributes::READ_ONLY, None, true)?;
            attach(&tree, &target)?;
            rootfs.done_with(target);
            rootfs.done_with(tree);
            Ok(())
        };
        protect().step(|| format!("make {} read-only", path.to_string_lossy()))?;
    }
    Ok(())
}

/// Hides each path that exists: a file behind the null device, a directory behind an empty, read-only tmpfs.
pub(super) fn mask(rootfs: &Rootfs<'_>, paths: &[CString]) -> Result<(), StepError> {
    let mut covers = Covers::default();
    for path in paths {
        let mut cover = || -> Result<(), Errno> {
            let Some(target) = open_if_present(rootfs, path)? else { return Ok(()) };
            match file_type(&target)? {
                FileType::Directory => covers.cover_directory(target, rootfs),
                _ => covers.cover_file(target, rootfs),
            }
        };
        cover().step(|| format!("mask {}", path.to_string_lossy()))?;
    }
    covers.null.into_iter().chain(covers.empty_directory).for_each(|spare| rootfs.done_with(spare));
    Ok(())
}

/// What hides things, made when first needed.
#[derive(Default)]
struct Covers {
    null: Option<OwnedFd>,
    /// The first mount of the one empty tmpfs that all masked directories share.
    empty_directory: Option<OwnedFd>,
}

impl Covers {
    fn cover_file(&mut self, target: OwnedFd, rootfs: &Rootfs<'_>) -> Result<(), Errno> {
        let null = match self.null.take() {
            Some(null) => null,
            None => open_host_null()?,
        };
        let cover = clone_of(&null, OpenTreeFlags::empty())?;
        attach(&cover, &target)?;
        self.null = Some(null);
        rootfs.done_with(target);
        rootfs.done_with(cover);
        Ok(())
    }

    fn cover_directory(&mut self, target: OwnedFd, rootfs: &Rootfs<'_>) -> Result<(), Errno> {
        if let Some(first) = &self.empty_directory {
            let cover = clone_of(first, OpenTreeFlags::empty())?;
            attach(&cover, &target)?;
            rootfs.done_with(target);
            rootfs.done_with(cover);
            return Ok(());
        }
        let first = empty_tmpfs()?;
        attach(&first, &target)?;
        rootfs.done_with(target);
        // Kept attached: clones can be taken of attached mounts only (before Linux 6.15).
        self.empty_directory = Some(first);
        Ok(())
    }
}

fn empty_tmpfs() -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "size", "4k")?;
    fsconfig_set_string(&context, "nr_inodes", "1")?;
    fsconfig_set_string(&context, "mode", "755")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn clone_of(mount: &OwnedFd, further: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, c"", clone | further)
}

fn open_if_present(rootfs: &Rootfs<'_>, path: &CString) -> Result<Option<OwnedFd>, Errno> {
    match rootfs.open(path, OFlags::PATH) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}
