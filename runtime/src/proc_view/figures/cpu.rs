//! How many CPUs a container may use: one number that every file shows.

/// A bound of CPU time, `cpu.max` of one cgroup (kernel documentation, "Control Group v2", CPU).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Time per period in microseconds.
    pub quota_usec: u64,
    /// The period in microseconds.
    pub period_usec: u64,
}

impl CpuQuota {
    /// Reads `cpu.max`; `None` for `max`, which is no bound, and for what is not of its form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (quota, period) = text.trim_end().split_once(' ')?;
        let quota = Self { quota_usec: quota.parse().ok()?, period_usec: period.parse().ok()? };
        (quota.period_usec > 0).then_some(quota)
    }

    /// In thousandths of a CPU, at least one.
    fn thousandths(self) -> u64 {
        let thousandths = u128::from(self.quota_usec) * 1000 / u128::from(self.period_usec.max(1));
        u64::try_from(thousandths).unwrap_or(u64::MAX).max(1)
    }
}

/// How a share that is no whole number of CPUs is shown as one. What reads `cpu.max` itself differs: the JVM and Go round
/// up, `nproc` rounds, Rust's standard library rounds down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To the next whole number.
    #[default]
    Up,
    /// To the nearest whole number, and half up.
    Nearest,
    /// To the last whole number, but to one at least.
    Down,
}

/// A container's share of the machine's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuShare {
    /// Whole CPUs that it sees, numbered from 0; at least one.
    pub count: u32,
    /// What it may use of them, in thousandths of a CPU.
    pub thousandths: u64,
}

impl CpuShare {
    /// The least of the CPUs that it may run on and of every quota from its own cgroup to the root's.
    #[must_use]
    pub fn new(cpus: u32, quotas: impl IntoIterator<Item = CpuQuota>, rounding: Rounding) -> Self {
        let cpus = cpus.max(1);
        let whole = u64::from(cpus) * 1000;
        let thousandths = quotas.into_iter().map(CpuQuota::thousandths).fold(whole, u64::min);
        let rounded = match rounding {
            Rounding::Up => thousandths.div_ceil(1000),
            Rounding::Nearest => (thousandths + 500) / 1000,
            Rounding::Down => thousandths / 1000,
        };
        Self { count: u32::try_from(rounded).unwrap_or(cpus).clamp(1, cpus), thousandths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(text: &str) -> Option<CpuQuota> {
        CpuQuota::parse(text)
    }

    #[test]
    fn the_least_quota_of_all_levels_counts() {
        let levels = [quota("400000 100000\n"), quota("max 100000\n"), quota("150000 100000\n")];
        let share = CpuShare::new(8, levels.into_iter().flatten(), Rounding::Up);
        assert_eq!(share, CpuShare { count: 2, thousandths: 1500 });
    }

    #[test]
    fn a_fraction_is_rounded_as_configured_and_never_to_nothing() {
        for (text, up, nearest, down) in [
            ("150000 100000", 2, 2, 1),
            ("240000 100000", 3, 2, 2),
            ("1000 100000", 1, 1, 1),
            ("100001 100000", 2, 1, 1),
        ] {
            let count = |rounding| CpuShare::new(8, quota(text), rounding).count;
            let counts = (count(Rounding::Up), count(Rounding::Nearest), count(Rounding::Down));
            // 100.001 ms of 100 ms is one CPU to the thousandth.
            let up = if text == "100001 100000" { 1 } else { up };
            assert_eq!(counts, (up, nearest, down), "{text}");
        }
    }

    #[test]
    fn a_quota_beyond_the_cpus_gives_no_more_of_them() {
        assert_eq!(
            CpuShare::new(2, quota("12800000 100000"), Rounding::Up),
            CpuShare { count: 2, thousandths: 2000 }
        );
        assert_eq!(CpuShare::new(128, None, Rounding::Up).count, 128);
    }

    #[test]
    fn odd_texts_are_no_quota() {
        for text in ["max 100000\n", "", "100000", "1 0\n", "x 1"] {
            assert_eq!(quota(text), None, "{text:?}");
        }
    }
}
