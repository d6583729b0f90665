//! CPU time as `/proc/stat` counts it, for CPUs that a container has only in name.
//!
//! A cgroup knows its whole time and not on which CPU it was spent, so each amount that is new is spread evenly over the
//! CPUs that the container has at that moment. What was once counted stays: counters never go back, whatever the container
//! is given or taken (Linux `Documentation/filesystems/proc.rst`, 1.8).

use super::CpuShare;

/// What a cgroup has used when, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuSample {
    /// The clock that counts while the container does nothing.
    pub now_usec: u64,
    /// `user_usec` of `cpu.stat` without `nice_usec`.
    pub user_usec: u64,
    /// `nice_usec`, since Linux 6.13.
    pub nice_usec: u64,
    /// `system_usec`.
    pub system_usec: u64,
}

/// Times of one CPU in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// In user mode.
    pub user_usec: u64,
    /// In user mode at a lower priority.
    pub nice_usec: u64,
    /// In kernel mode.
    pub system_usec: u64,
    /// Not used though the container could have.
    pub idle_usec: u64,
}

/// The counters of all CPUs that a container has or had.
#[derive(Debug, Clone, Default)]
pub struct CpuClock {
    last: CpuSample,
    cpus: Vec<CpuTimes>,
}

impl CpuClock {
    /// A clock that starts at `began_usec`; what the cgroup used before is not counted as idle time.
    #[must_use]
    pub fn starting(began_usec: u64) -> Self {
        Self { last: CpuSample { now_usec: began_usec, ..CpuSample::default() }, cpus: Vec::new() }
    }

    /// Counts what is new since the last sample.
    pub fn advance(&mut self, sample: CpuSample, share: CpuShare) {
        let count = usize::try_from(share.count.max(1)).unwrap_or(1);
        if self.cpus.len() < count {
            self.cpus.resize(count, CpuTimes::default());
        }
        let user = sample.user_usec.saturating_sub(self.last.user_usec);
        let nice = sample.nice_usec.saturating_sub(self.last.nice_usec);
        let system = sample.system_usec.saturating_sub(self.last.system_usec);
        let elapsed = sample.now_usec.saturating_sub(self.last.now_usec);
        let possible = u128::from(elapsed) * u128::from(share.thousandths) / 1000;
        let used = user.saturating_add(nice).saturating_add(system);
        let idle = u64::try_from(possible).unwrap_or(u64::MAX).saturating_sub(used);
        for (index, cpu) in self.cpus.iter_mut().take(count).enumerate() {
            let part = |whole| part(whole, index, count);
            cpu.user_usec = cpu.user_usec.saturating_add(part(user));
            cpu.nice_usec = cpu.nice_usec.saturating_add(part(nice));
            cpu.system_usec = cpu.system_usec.saturating_add(part(system));
            cpu.idle_usec = cpu.idle_usec.saturating_add(part(idle));
        }
        let last = &mut self.last;
        last.now_usec = last.now_usec.max(sample.now_usec);
        last.user_usec = last.user_usec.max(sample.user_usec);
        last.nice_usec = last.nice_usec.max(sample.nice_usec);
        last.system_usec = last.system_usec.max(sample.system_usec);
    }

    /// The CPUs that the container has now.
    #[must_use]
    pub fn cpus(&self, share: CpuShare) -> &[CpuTimes] {
        let count = usize::try_from(share.count).unwrap_or(usize::MAX);
        self.cpus.get(..count).unwrap_or(&self.cpus)
    }

    /// The sum over all CPUs that it ever had.
    #[must_use]
    pub fn total(&self) -> CpuTimes {
        self.cpus.iter().fold(CpuTimes::default(), |sum, cpu| CpuTimes {
            user_usec: sum.user_usec.saturating_add(cpu.user_usec),
            nice_usec: sum.nice_usec.saturating_add(cpu.nice_usec),
            system_usec: sum.system_usec.saturating_add(cpu.system_usec),
            idle_usec: sum.idle_usec.saturating_add(cpu.idle_usec),
        })
    }
}

/// What of `whole` goes to one of `count` CPUs: all get the same but for a rest, which goes to the first.
fn part(whole: u64, index: usize, count: usize) -> u64 {
    let count = u64::try_from(count).unwrap_or(1).max(1);
    let rest = if index == 0 { whole % count } else { 0 };
    whole / count + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    fn share(count: u32, thousandths: u64) -> CpuShare {
        CpuShare { count, thousandths }
    }

    fn sample(now: u64, user: u64, system: u64) -> CpuSample {
        CpuSample { now_usec: now, user_usec: user, system_usec: system, nice_usec: 0 }
    }

    #[test]
    fn used_time_is_spread_and_the_rest_is_idle() {
        let mut clock = CpuClock::starting(0);
        clock.advance(sample(10 * SECOND, 4 * SECOND, 2 * SECOND), share(2, 2000));
        let cpu = CpuTimes {
            user_usec: 2 * SECOND,
            system_usec: SECOND,
            idle_usec: 7 * SECOND,
            ..CpuTimes::default()
        };
        assert_eq!(clock.cpus(share(2, 2000)), [cpu, cpu]);
    }

    #[test]
    fn a_fractional_quota_that_is_used_up_leaves_no_idle_time() {
        let mut clock = CpuClock::starting(0);
        clock.advance(sample(10 * SECOND, 15 * SECOND, 0), share(2, 1500));
        assert_eq!(clock.total().idle_usec, 0);
        assert_eq!(clock.total().user_usec, 15 * SECOND);
    }

    #[test]
    fn more_use_than_the_quota_allows_is_not_negative_idle_time() {
        let mut clock = CpuClock::starting(0);
        clock.advance(sample(SECOND, 5 * SECOND, 0), share(1, 1000));
        assert_eq!(clock.total().idle_usec, 0);
    }

    #[test]
    fn cpus_that_are_taken_away_keep_their_time_for_the_total() {
        let mut clock = CpuClock::starting(0);
        clock.advance(sample(SECOND, 0, 0), share(4, 4000));
        let before = clock.total();
        clock.advance(sample(2 * SECOND, 0, 0), share(1, 1000));
        assert_eq!(clock.cpus(share(1, 1000)).len(), 1);
        assert_eq!(clock.total().idle_usec, before.idle_usec + SECOND);
    }

    #[test]
    fn a_clock_does_not_start_with_the_hosts_uptime() {
        let mut clock = CpuClock::starting(1000 * SECOND);
        clock.advance(sample(1001 * SECOND, 0, 0), share(2, 2000));
        assert_eq!(clock.total().idle_usec, 2 * SECOND);
    }

    proptest! {
        #[test]
        fn no_counter_ever_goes_back(
            steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), 1..6u32, 1..6000u64), 1..40)
        ) {
            let mut clock = CpuClock::starting(0);
            let mut before = (CpuTimes::default(), Vec::<CpuTimes>::new());
            for (now, user, system, count, thousandths) in steps {
                let share = share(count, thousandths);
                clock.advance(sample(now, user, system), share);
                let now = (clock.total(), clock.cpus.clone());
                let pairs = before.1.iter().zip(&now.1).chain([(&before.0, &now.0)]);
                for (old, new) in pairs {
                    prop_assert!(old.user_usec <= new.user_usec && old.system_usec <= new.system_usec);
                    prop_assert!(old.idle_usec <= new.idle_usec);
                }
                before = now;
            }
        }
    }
}
