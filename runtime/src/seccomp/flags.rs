//! The flags of `seccomp(2)`'s `SECCOMP_SET_MODE_FILTER`. Knows no rules.

use oci_spec::runtime::LinuxSeccompFilterFlag;
use serde::{Deserialize, Serialize};

use super::error::Error;

/// Flags for `SECCOMP_SET_MODE_FILTER` (`SECCOMP_FILTER_FLAG_*` of `linux/seccomp.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(u32);

impl Flags {
    /// All threads of the caller get the filter.
    pub const TSYNC: Self = Self(1);
    /// Every action but allow is logged.
    pub const LOG: Self = Self(1 << 1);
    /// No mitigation of speculative store bypass.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// The call returns a descriptor for notifications.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// With both `TSYNC` and `NEW_LISTENER`, which the kernel takes only so: a failed `TSYNC` is `ESRCH`, not a thread id.
    pub const TSYNC_ESRCH: Self = Self(1 << 4);
    /// While the agent works on a notification, only a fatal signal interrupts the caller.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// The argument for the syscall.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags for a profile that has these, with or without a rule that notifies.
    pub(super) fn new(profile: &[LinuxSeccompFilterFlag], notifies: bool) -> Result<Self, Error> {
        use LinuxSeccompFilterFlag as Oci;
        let mut flags = if notifies { Self::NEW_LISTENER } else { Self::default() };
        for &flag in profile {
            flags = match flag {
                Oci::SeccompFilterFlagLog => flags.with(Self::LOG),
                Oci::SeccompFilterFlagSpecAllow => flags.with(Self::SPEC_ALLOW),
                Oci::SeccompFilterFlagTsync if notifies => flags.with(Self::TSYNC).with(Self::TSYNC_ESRCH),
                Oci::SeccompFilterFlagTsync => flags.with(Self::TSYNC),
                Oci::SeccompFilterFlagWaitKillableRecv if notifies => flags.with(Self::WAIT_KILLABLE_RECV),
                Oci::SeccompFilterFlagWaitKillableRecv => return Err(Error::FlagNeedsListener { flag }),
            }
        }
        Ok(flags)
    }
}
