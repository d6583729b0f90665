//! The container's root file system before it is `/`: attach it, resolve paths in it, make mount points, enter it.
//!
//! The image is hostile: any component of any path may be a symbolic link, and another container that shares a volume may
//! swap one at any moment. So every path is resolved by the kernel with `RESOLVE_IN_ROOT` (absolute links and `..` stay
//! inside) and without magic links, and the result is a descriptor that is acted on; no path is used twice.

use super::Context;
use crate::error::{StepContext, StepError};
use crate::plan::{normalized, wire::RootfsPlan};
use crate::sys::{MountAttributes, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};
use rustix::process::{fchdir, pivot_root};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel answers `EAGAIN` when a rename or mount elsewhere raced with the resolution of a `..`.
const RESOLUTION_ATTEMPTS: usize = 64;
/// As many as the kernel itself follows.
const MAXIMUM_SYMLINKS: usize = 40;

/// The attached, not yet entered root.
pub(super) struct Rootfs<'a> {
    tree: BorrowedFd<'a>,
}

/// What a mount point has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MountPoint {
    Directory,
    File,
}

impl<'a> Rootfs<'a> {
    /// Cuts this mount namespace off from the host's and attaches the prepared tree in it.
    pub(super) fn attach(plan: &RootfsPlan, context: &'a Context<'_>) -> Result<Self, StepError> {
        let downstream = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", downstream)
            .step(|| "make the mounts of the new namespace slaves of the host's".into())?;
        let tree = context.descriptor(plan.tree)?;
        move_mount(tree, c"", CWD, plan.path.as_c_str(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step(|| format!("attach the root file system at {}", plan.path.to_string_lossy()))?;
        Ok(Self { tree })
    }

    /// The root of a mount namespace that has one.
    pub(super) fn entered(root: BorrowedFd<'a>) -> Self {
        Self { tree: root }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree
    }

    /// Opens a path as the container would see it.
    pub(super) fn open(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_in(self.tree, path, flags, ResolveFlags::empty())
    }

    /// As [`Self::open`], but refuses every symbolic link on the way.
    pub(super) fn open_without_symlinks(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_in(self.tree, path, flags, ResolveFlags::NO_SYMLINKS)
    }

    /// Opens (`O_PATH`) a mount point, which is made if the image does not have it, with missing parents. A dangling link
    /// is followed inside the root and its target made.
    pub(super) fn mount_point(&self, path: &CStr, kind: MountPoint) -> Result<OwnedFd, Errno> {
        match self.open(path, OFlags::PATH) {
            Err(Errno::NOENT) => self.make_mount_point(Path::new(as_os_str(path)), kind, MAXIMUM_SYMLINKS),
            result => result,
        }
    }

    fn make_mount_point(
        &self,
        path: &Path,
        kind: MountPoint,
        symlinks_left: usize,
    ) -> Result<OwnedFd, Errno> {
        let (Some(parent_path), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::NOENT);
        };
        let parent_name = c_string(parent_path)?;
        let parent = match self.open(&parent_name, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.make_mount_point(parent_path, MountPoint::Directory, symlinks_left)?,
            result => result?,
        };
        let made = match kind {
            MountPoint::Directory => mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            MountPoint::File => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
                openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match made {
            // Just made under a descriptor that we hold; a link in its place would be somebody's swap.
            Ok(()) => openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
            Err(Errno::EXIST) if symlinks_left > 0 => {
                let target = readlinkat(&parent, name, Vec::new()).map_err(|_| Errno::NOENT)?;
                let target: PathBuf = parent_path.join(Path::new(as_os_str(&target)));
                match self.open(&c_string(&target)?, OFlags::PATH) {
                    // Nothing of a path that does not exist can be a link, so `..` means what it says.
                    Err(Errno::NOENT) => self.make_mount_point(&normalized(&target), kind, symlinks_left - 1),
                    result => result,
                }
            }
            Err(errno) => Err(errno),
        }
    }

    /// Makes the tree the root of this mount namespace and drops the host's.
    pub(super) fn become_root(&self, plan: &RootfsPlan) -> Result<(), StepError> {
        if plan.readonly {
            mount_setattr(self.tree, MountAttributes::READ_ONLY, None, false)
                .step(|| "make the root file system read-only".into())?;
        }
        fchdir(self.tree).step(|| "enter the root file system".into())?;
        // The old root ends up stacked on the new one, so no directory for it is needed in the image.
        pivot_root(".", ".").step(|| "pivot_root".into())?;
        unmount(".", UnmountFlags::DETACH).step(|| "detach the host's root".into())?;
        rustix::process::chdir("/").step(|| "chdir to /".into())?;
        if plan.propagation == u64::from(MountPropagationFlags::SHARED.bits()) {
            mount_change("/", MountPropagationFlags::SHARED)
                .step(|| "make the root file system shared".into())?;
        }
        Ok(())
    }
}

/// Resolves `path` with `root` as its `/`, whatever links say.
pub(super) fn open_in(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    further: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | further;
    for _ in 1..RESOLUTION_ATTEMPTS {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The type of the file behind a descriptor.
pub(super) fn file_type(file: impl AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode))
}

/// Attaches a detached tree on what `target` refers to.
pub(super) fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", target, c"", empty)
}

fn as_os_str(string: &CStr) -> &std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(string.to_bytes())
}

fn c_string(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}
