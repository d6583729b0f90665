//! `mount_setattr(2)`: attributes of a mount or a whole tree of mounts at once, id-mapping included.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// What to change on a mount. `set` and `clear` hold `MOUNT_ATTR_*` bits, `propagation` one of `MS_PRIVATE`, `MS_SLAVE`,
/// `MS_SHARED`, `MS_UNBINDABLE` or 0 to leave it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
}

impl MountAttributes {
    pub(crate) const READ_ONLY: Self = Self { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0 };

    /// What setting these and then `later` on the same mount comes down to.
    pub(crate) fn then(self, later: Self) -> Self {
        let propagation = if later.propagation == 0 { self.propagation } else { later.propagation };
        // The kernel clears before it sets.
        Self { set: self.set & !later.clear | later.set, clear: self.clear | later.clear, propagation }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Changes the mount that `mount` is the root of; with `recursive`, every mount below it too (all or none).
/// `user_namespace` id-maps it (`MOUNT_ATTR_IDMAP`), which a mount accepts once and only while it is detached.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: MountAttributes,
    user_namespace: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> Result<(), Errno> {
    let mut kernel = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: 0,
    };
    if let Some(user_namespace) = user_namespace {
        kernel.attr_set |= libc::MOUNT_ATTR_IDMAP;
        kernel.userns_fd = u64::from(user_namespace.as_raw_fd().unsigned_abs());
    }
    let recursion = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static empty string, `kernel` a live local of the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursion,
            &raw mut kernel,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::MountAttributes;
    use proptest::prelude::*;

    fn attributes() -> impl Strategy<Value = MountAttributes> {
        (0..64_u64, 0..64_u64, 0..4_u64).prop_map(|(set, clear, propagation)| MountAttributes {
            set,
            clear,
            propagation,
        })
    }

    /// As the kernel does (`recalc_flags` of Linux `fs/namespace.c`).
    fn apply(attributes: MountAttributes, (flags, propagation): (u64, u64)) -> (u64, u64) {
        let propagation = if attributes.propagation == 0 { propagation } else { attributes.propagation };
        (flags & !attributes.clear | attributes.set, propagation)
    }

    proptest! {
        #[test]
        fn two_changes_as_one_leave_what_they_leave_one_after_the_other(
            (first, second) in (attributes(), attributes()),
            flags in 0..64_u64,
        ) {
            let mount = (flags, 7);
            prop_assert_eq!(apply(first.then(second), mount), apply(second, apply(first, mount)));
        }
    }
}
