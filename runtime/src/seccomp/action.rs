//! The values a filter can return (`SECCOMP_RET_*` of `linux/seccomp.h`). Knows no profile beyond one action.

use std::cmp::Ordering;

use oci_spec::runtime::LinuxSeccompAction;

use super::error::{Error, Subject};

/// A filter's return value: the action in the upper half, its data in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Action(u32);

const EPERM: u32 = 1;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
/// The kernel returns this errno for every larger one (`MAX_ERRNO`).
const LARGEST_ERRNO: u32 = 4095;
/// The width of a return value's data (`SECCOMP_RET_DATA`).
const LARGEST_DATA: u32 = 0xffff;

impl Action {
    pub(super) const KILL_PROCESS: Self = Self(0x8000_0000);
    pub(super) const KILL_THREAD: Self = Self(0);
    pub(super) const TRAP: Self = Self(0x0003_0000);
    pub(super) const NOTIFY: Self = Self(0x7fc0_0000);
    pub(super) const LOG: Self = Self(0x7ffc_0000);
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    /// `ERRNO` with `ENOSYS`, 38 on every architecture here.
    pub(super) const NOT_IMPLEMENTED: Self = Self(ERRNO | 38);

    /// The return value of an OCI action; an errno that is not given is `EPERM`.
    pub(super) fn new(
        action: LinuxSeccompAction,
        errno: Option<u32>,
        subject: impl Fn() -> Subject,
    ) -> Result<Self, Error> {
        use LinuxSeccompAction as Oci;
        let (value, largest) = match action {
            Oci::ScmpActErrno => (ERRNO, LARGEST_ERRNO),
            Oci::ScmpActTrace => (TRACE, LARGEST_DATA),
            Oci::ScmpActKill | Oci::ScmpActKillThread => (Self::KILL_THREAD.0, 0),
            Oci::ScmpActKillProcess => (Self::KILL_PROCESS.0, 0),
            Oci::ScmpActTrap => (Self::TRAP.0, 0),
            Oci::ScmpActNotify => (Self::NOTIFY.0, 0),
            Oci::ScmpActLog => (Self::LOG.0, 0),
            Oci::ScmpActAllow => (Self::ALLOW.0, 0),
        };
        match errno {
            Some(errno) if largest == 0 => Err(Error::ErrnoNotTaken { action, subject: subject(), errno }),
            Some(errno) if errno > largest => {
                Err(Error::ErrnoTooLarge { action, subject: subject(), errno, largest })
            }
            None if largest == 0 => Ok(Self(value)),
            _ => Ok(Self(value | errno.unwrap_or(EPERM))),
        }
    }

    /// The number a filter returns.
    pub(super) fn value(self) -> u32 {
        self.0
    }

    /// Whether calls that the profile does not know are let through, by the kernel or by a tracer.
    pub(super) fn permits(self) -> bool {
        self == Self::ALLOW || self == Self::LOG || self.0 & 0xffff_0000 == TRACE
    }

    /// The kernel's precedence between several filters: `Less` is stricter. Data does not count there; here it breaks ties.
    pub(super) fn strictness(self, other: Self) -> Ordering {
        self.0.cast_signed().cmp(&other.0.cast_signed())
    }
}
