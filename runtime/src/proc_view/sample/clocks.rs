//! The times of one moment, and when a container's time began.

use crate::sys::time_since_boot;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clocks of the host, read together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Since the host's boot, sleep included.
    pub(super) monotonic_usec: u64,
    /// Since 1970.
    realtime_usec: u64,
}

impl Now {
    pub(super) fn read() -> Self {
        Self {
            // The clock is there since Linux 2.6.39.
            monotonic_usec: microseconds(time_since_boot().unwrap_or_default()),
            realtime_usec: microseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a container takes for its boot: the zero of its time namespace.
///
/// The kernel itself shows start times of processes, and `sysinfo(2)` the uptime, relative to that zero, so a view with
/// another one would contradict `ps`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Seconds from the host's boot; 0 without a time namespace.
    pub(crate) boottime_s: u64,
}

impl Epoch {
    /// This moment, to the second before it.
    pub(crate) fn now() -> Self {
        Self { boottime_s: Now::read().monotonic_usec / 1_000_000 }
    }

    pub(super) fn uptime_usec(self, now: Now) -> u64 {
        now.monotonic_usec.saturating_sub(self.boottime_s.saturating_mul(1_000_000))
    }

    /// Seconds since 1970. To the nearest second, so that two readings of two clocks show the same.
    pub(super) fn booted_s(self, now: Now) -> u64 {
        now.realtime_usec.saturating_sub(self.uptime_usec(now)).saturating_add(500_000) / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_is_now_less_the_uptime() {
        let now = Now { monotonic_usec: 1_000_400_000, realtime_usec: 1_700_000_000_300_000 };
        let epoch = Epoch { boottime_s: 990 };
        assert_eq!(epoch.uptime_usec(now), 10_400_000);
        assert_eq!(epoch.booted_s(now), 1_699_999_990);
        assert_eq!(Epoch::default().uptime_usec(now), 1_000_400_000);
    }
}
