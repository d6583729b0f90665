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

impl FuseMount {
    /// Makes one that everybody may read, whatever their user namespace.
    pub(crate) fn new() -> Result<Self, CallError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let connection = open("/dev/fuse", flags, Mode::empty()).call("open", || "/dev/fuse".into())?;
        let tree = mount(connection.as_fd())?;
        Ok(Self { connection, tree })
    }

    /// Both ends: the connection, the tree.
    pub(crate) fn into_parts(self) -> (OwnedFd, OwnedFd) {
        (self.connection, self.tree)
    }
}

/// A detached mount of the file system behind a connection. The first makes it; more of the same need Linux 5.15. Kernels before
/// 6.15 attach each of them once, and never again after it was taken off.
pub(super) fn mount(connection: BorrowedFd<'_>) -> Result<OwnedFd, CallError> {
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
    for flag in ["allow_other", "default_permissions"] {
        fsconfig_set_flag(&context, flag).call("fsconfig", || format!("fuse, {flag}"))?;
    }
    fsconfig_create(&context).call("fsconfig", || "fuse, FSCONFIG_CMD_CREATE".into())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).call("fsmount", || "fuse".into())
}
