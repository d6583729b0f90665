//! The container's root file system before it is `/`: attach it, resolve paths in it, make mount points, enter it.
//!
//! The image is hostile: any component of any path may be a symbolic link, and another container that shares a volume may
//! swap one at any moment. So every path is resolved by the kernel with `RESOLVE_IN_ROOT` (absolute links and `..` stay
//! inside) and without magic links, and the result is a descriptor that is acted on; no path is used twice.

use super::Context;
use crate::error::{StepContext, StepError};
use crate::plan::{normalized, wire::RootfsPlan};
use crate::sys::{DescriptorRun, MountAttributes, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount};
use rustix::process::{fchdir, pivot_root};
use std::cell::RefCell;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel answers `EAGAIN` when a rename or mount elsewhere raced with the resolution of a `..`.
const RESOLUTION_ATTEMPTS: usize = 64;
/// As many as the kernel itself follows.
const MAXIMUM_SYMLINKS: usize = 40;
/// Of a file that is made to be a mount point, before the umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// The attached, not yet entered root.
pub(super) struct Rootfs<'a> {
    tree: BorrowedFd<'a>,
    /// Descriptors that nobody needs any more: the mounts of a container leave some fifty.
    done_with: RefCell<DescriptorRun>,
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
        Ok(Self::entered(tree))
    }

    /// The root of a mount namespace that has one.
    pub(super) fn entered(root: BorrowedFd<'a>) -> Self {
        Self { tree: root, done_with: RefCell::default() }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree
    }

    /// Takes a descriptor that is not needed any more, to close it with others: at the latest when the tree becomes the root.
    /// In the order in which they were opened they take the fewest calls.
    pub(super) fn done_with(&self, descriptor: OwnedFd) {
        self.done_with.borrow_mut().push(descriptor);
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
            Err(Errno::NOENT) => self.make_mount_point(path, kind),
            result => result,
        }
    }

    /// As [`Self::mount_point`], of a path that was not there just now.
    pub(super) fn make_mount_point(&self, path: &CStr, kind: MountPoint) -> Result<OwnedFd, Errno> {
        if kind == MountPoint::File {
            // Most are missing in a directory that is there, and then one call is enough.
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            if let Ok(made) = open_or_make_in(self.tree, path, flags, FILE_MODE, ResolveFlags::empty()) {
                return Ok(made);
            }
        }
        self.make_with_parents(Path::new(as_os_str(path)), kind, MAXIMUM_SYMLINKS)
    }

    fn make_with_parents(
        &self,
        path: &Path,
        kind: MountPoint,
        symlinks_left: usize,
    ) -> Result<OwnedFd, Errno> {
        let (Some(parent_path), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::NOENT);
        };
        if parent_path == Path::new("/") {
            return self.make_in(self.tree, parent_path, name, kind, symlinks_left);
        }
        let parent = match self.open(&c_string(parent_path)?, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.make_with_parents(parent_path, MountPoint::Directory, symlinks_left)?,
            result => result?,
        };
        let made = self.make_in(parent.as_fd(), parent_path, name, kind, symlinks_left);
        self.done_with(parent);
        made
    }

    fn make_in(
        &self,
        parent: BorrowedFd<'_>,
        parent_path: &Path,
        name: &OsStr,
        kind: MountPoint,
        symlinks_left: usize,
    ) -> Result<OwnedFd, Errno> {
        let made = match kind {
            // Just made under a descriptor that we hold; a link in its place would be somebody's swap.
            MountPoint::Directory => mkdirat(parent, name, Mode::from_raw_mode(0o755)).and_then(|()| {
                openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            }),
            MountPoint::File => {
                let flags =
                    OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(parent, name, flags, FILE_MODE)
            }
        };
        match made {
            Err(Errno::EXIST) if symlinks_left > 0 => {
                let target = readlinkat(parent, name, Vec::new()).map_err(|_| Errno::NOENT)?;
                let target: PathBuf = parent_path.join(Path::new(as_os_str(&target)));
                match self.open(&c_string(&target)?, OFlags::PATH) {
                    // Nothing of a path that does not exist can be a link, so `..` means what it says.
                    Err(Errno::NOENT) => {
                        self.make_with_parents(&normalized(&target), kind, symlinks_left - 1)
                    }
                    result => result,
                }
            }
            result => result,
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
        self.done_with.borrow_mut().close();
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
    open_or_make_in(root, path, flags, Mode::empty(), further)
}

fn open_or_make_in(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    further: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | further;
    for _ in 1..RESOLUTION_ATTEMPTS {
        match openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve)
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

fn as_os_str(string: &CStr) -> &OsStr {
    OsStr::from_bytes(string.to_bytes())
}

fn c_string(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}
