//! What a cgroup's files say, as a container's figures.

use arbitrary::Arbitrary;
use ballast_runtime::Rounding;
use ballast_runtime::proc_view::figures::{
    CpuClock, CpuList, CpuQuota, CpuSample, CpuShare, HostMemory, Keyed, LoadAverage, Memory, MemoryLevel,
};

use crate::Target;

/// A machine's memory and that of a line of cgroups.
#[derive(Arbitrary, Debug)]
pub(crate) struct Levels {
    host: [u64; 5],
    levels: Vec<[u64; 6]>,
}

impl Levels {
    pub(crate) fn memory(&self) -> Memory {
        let [total, free, available, swap_total, swap_free] = self.host;
        let levels: Vec<MemoryLevel> = self
            .levels
            .iter()
            .map(|&[usage, max, high, reclaimable, swap_usage, swap_max]| MemoryLevel {
                usage,
                max,
                high,
                reclaimable,
                swap_usage,
                swap_max,
            })
            .collect();
        Memory::of(&HostMemory { total, free, available, swap_total, swap_free }, &levels)
    }
}

/// CPUs, and what bounds a container's share of them.
#[derive(Arbitrary, Debug)]
pub(crate) struct Share {
    cpus: u16,
    quotas: Vec<(u64, u64)>,
    rounding: u8,
}

impl Share {
    pub(crate) fn share(&self) -> CpuShare {
        let quotas =
            self.quotas.iter().map(|&(quota_usec, period_usec)| CpuQuota { quota_usec, period_usec });
        let rounding = match self.rounding % 3 {
            0 => Rounding::Up,
            1 => Rounding::Nearest,
            _ => Rounding::Down,
        };
        // More than any machine has are no more interesting than these.
        CpuShare::new(u32::from(self.cpus % 257), quotas, rounding)
    }
}

/// A life of a container: what it had used at some moments, and what its share was then.
#[derive(Arbitrary, Debug)]
pub(crate) struct Life(Vec<([u64; 4], Share)>);

impl Life {
    /// The clock after it, and the last share.
    pub(crate) fn clock(&self) -> (CpuClock, CpuShare) {
        let mut clock = CpuClock::starting(0);
        let mut last = CpuShare::new(1, [], Rounding::Up);
        for ([now_usec, user_usec, nice_usec, system_usec], share) in &self.0 {
            let before = clock.total();
            last = share.share();
            clock.advance(
                CpuSample {
                    now_usec: *now_usec,
                    user_usec: *user_usec,
                    nice_usec: *nice_usec,
                    system_usec: *system_usec,
                },
                last,
            );
            let after = clock.total();
            assert!(before.user_usec <= after.user_usec && before.system_usec <= after.system_usec);
            assert!(before.nice_usec <= after.nice_usec && before.idle_usec <= after.idle_usec);
        }
        (clock, last)
    }
}

/// Texts of the kernel's, or what looks like them, and numbers.
#[derive(Arbitrary, Debug)]
pub struct Figures {
    text: String,
    levels: Levels,
    share: Share,
    life: Life,
    load: Vec<[u64; 3]>,
}

impl Target for Figures {
    fn check(self) {
        if let Some(cpus) = CpuList::parse(&self.text) {
            assert!(!cpus.is_empty() && cpus.common(&cpus) == cpus.len());
        }
        if let Some(quota) = CpuQuota::parse(&self.text) {
            assert!(quota.period_usec > 0);
        }
        let keyed = Keyed::parse(&self.text);
        for line in self.text.lines() {
            if let Some((key, _)) = line.split_once([':', ' ']) {
                assert_eq!(keyed.find(key).unwrap_or_default(), keyed.get(key));
            }
        }
        let memory = self.levels.memory();
        assert!(memory.free <= memory.total && memory.available <= memory.total);
        assert!(memory.swap_free <= memory.swap_total);
        let share = self.share.share();
        assert!(share.count >= 1 && share.thousandths >= 1);
        let (clock, share) = self.life.clock();
        assert_eq!(clock.cpus(share).len().min(1), usize::from(!clock.cpus(share).is_empty()));
        let mut load = LoadAverage::starting(0);
        for [now, used, waited] in self.load {
            load.advance(now, used, waited);
        }
        let _hundredths = load.hundredths();
    }
}
