//! A FUSE file system that is mounted nowhere yet: the descriptor to serve it by, and the tree to attach.

use crate::error::{CallContext, CallError};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

/// Both ends of a new file system.
#[derive(Debug)]
pub(crate) struct FuseMount {
    /// `/dev/fuse`, not blocking. The file system answers errors once all copies are closed.
    pub(crate) connection: OwnedFd,
    /// The detached mount of the root directory.
    pub(crate) tree: OwnedFd,
}

/// Who may open a file of those that see the file system; it is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Whom its mode admits. The kernel asks for the directory's own before anything is looked up in it.
    ByMode,
    /// Everybody: for files that all have a mode which says so.
    Everybody,
}

impl FuseMount {
    /// Makes one for all users, whatever their user namespace.
    pub(crate) fn new(permissions: Permissions) -> Result<Self, CallError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let connection = open("/dev/fuse", flags, Mode::empty()).call("open", || "/dev/fuse".into())?;
        let tree = mount(connection.as_fd(), permissions)?;
        Ok(Self { connection, tree })
    }
}

/// A detached mount of the file system behind a connection. The first makes it; more of the same need Linux 5.15. Kernels before
/// 6.15 attach each of them once, and never again after it was taken off.
pub(super) fn mount(connection: BorrowedFd<'_>, permissions: Permissions) -> Result<OwnedFd, CallError> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen", || "fuse".into())?;
    // As text: before Linux 6.10 the kernel takes the descriptor in no other form.
    let descriptor = connection.as_raw_fd().to_string();
    let settings = [
        ("source", "ballast"),
        ("subtype", "ballast"),
        ("fd", &descriptor),
        ("rootmode", "40555"),
        ("user_id", "0"),
        ("group_id", "0"),
    ];
    for (key, value) in settings {
        fsconfig_set_string(&context, key, value).call("fsconfig", || format!("fuse, {key}={value}"))?;
    }
    let by_mode = (permissions == Permissions::ByMode).then_some("default_permissions");
    for flag in std::iter::once("allow_other").chain(by_mode) {
        fsconfig_set_flag(&context, flag).call("fsconfig", || format!("fuse, {flag}"))?;
    }
    fsconfig_create(&context).call("fsconfig", || "fuse, FSCONFIG_CMD_CREATE".into())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).call("fsmount", || "fuse".into())
}
