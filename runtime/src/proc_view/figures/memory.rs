//! How much memory a container may use, uses, and could still get.

use super::Keyed;

/// The machine's memory in bytes, from `/proc/meminfo`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostMemory {
    /// `MemTotal`
    pub total: u64,
    /// `MemFree`
    pub free: u64,
    /// `MemAvailable`
    pub available: u64,
    /// `SwapTotal`
    pub swap_total: u64,
    /// `SwapFree`
    pub swap_free: u64,
}

impl HostMemory {
    /// Reads `/proc/meminfo`.
    #[must_use]
    pub fn of(meminfo: &Keyed<'_>) -> Self {
        let bytes = |key| meminfo.get(key).saturating_mul(1024);
        Self {
            total: bytes("MemTotal"),
            free: bytes("MemFree"),
            available: bytes("MemAvailable"),
            swap_total: bytes("SwapTotal"),
            swap_free: bytes("SwapFree"),
        }
    }
}

/// One cgroup: the container's own or one above it. Bytes; a bound that is not set is `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLevel {
    /// `memory.current`
    pub usage: u64,
    /// `memory.max`
    pub max: u64,
    /// `memory.high`
    pub high: u64,
    /// What of the usage the kernel would give up under pressure: page cache on its lists and reclaimable slab.
    pub reclaimable: u64,
    /// `memory.swap.current`
    pub swap_usage: u64,
    /// `memory.swap.max`
    pub swap_max: u64,
}

impl MemoryLevel {
    /// A level without bounds that uses nothing.
    pub const UNBOUNDED: Self =
        Self { usage: 0, max: u64::MAX, high: u64::MAX, reclaimable: 0, swap_usage: 0, swap_max: u64::MAX };

    /// [`Self::reclaimable`] by `memory.stat`.
    #[must_use]
    pub fn reclaimable_of(stat: &Keyed<'_>) -> u64 {
        stat.sum(&["active_file", "inactive_file", "slab_reclaimable"])
    }
}

/// A container's memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// The least `memory.max` from its cgroup to the root, and no more than the machine has.
    pub total: u64,
    /// What neither it nor others under the same bounds use.
    pub free: u64,
    /// What it could get without swapping, and without being slowed down by `memory.high`.
    pub available: u64,
    /// The least `memory.swap.max`, and no more than the machine has.
    pub swap_total: u64,
    /// What of that is left.
    pub swap_free: u64,
}

impl Memory {
    /// The view of the cgroup `levels[0]` with the ones above it, nearest first.
    #[must_use]
    pub fn of(host: &HostMemory, levels: &[MemoryLevel]) -> Self {
        let own = levels.first().copied().unwrap_or(MemoryLevel::UNBOUNDED);
        let least =
            |start: u64, bound: fn(&MemoryLevel) -> u64| levels.iter().map(bound).fold(start, u64::min);
        let total = least(host.total, |level| level.max);
        let free = least(host.free, |level| level.max.saturating_sub(level.usage));
        let available = least(host.available, |level| {
            let bound = level.max.min(level.high);
            bound.saturating_sub(level.usage.saturating_sub(level.reclaimable))
        });
        let swap_total = least(host.swap_total, |level| level.swap_max);
        let swap_free = least(host.swap_free, |level| level.swap_max.saturating_sub(level.swap_usage));
        Self {
            total,
            free: free.min(total.saturating_sub(own.usage)),
            available: available.min(total),
            swap_total,
            swap_free: swap_free.min(swap_total.saturating_sub(own.swap_usage)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const HOST: HostMemory = HostMemory {
        total: 64 * GIB,
        free: 32 * GIB,
        available: 48 * GIB,
        swap_total: 8 * GIB,
        swap_free: 6 * GIB,
    };

    fn level(max: u64, usage: u64) -> MemoryLevel {
        MemoryLevel { max, usage, ..MemoryLevel::UNBOUNDED }
    }

    #[test]
    fn an_ancestors_bound_is_the_containers() {
        let memory = Memory::of(&HOST, &[level(u64::MAX, GIB), level(4 * GIB, 2 * GIB)]);
        assert_eq!(memory.total, 4 * GIB);
        assert_eq!(memory.free, 2 * GIB, "what its neighbours use is not free");
        assert_eq!(memory.available, 2 * GIB);
    }

    #[test]
    fn use_above_a_lowered_limit_leaves_nothing_and_does_not_wrap() {
        let mut over = level(GIB, 3 * GIB);
        (over.swap_max, over.swap_usage) = (GIB, 2 * GIB);
        let memory = Memory::of(&HOST, &[over]);
        assert_eq!((memory.total, memory.free, memory.available), (GIB, 0, 0));
        assert_eq!((memory.swap_total, memory.swap_free), (GIB, 0));
    }

    #[test]
    fn the_machine_is_a_bound_as_well() {
        let unlimited = Memory::of(&HOST, &[level(u64::MAX, GIB)]);
        assert_eq!(
            unlimited,
            Memory {
                total: HOST.total,
                free: HOST.free,
                available: HOST.available,
                swap_total: HOST.swap_total,
                swap_free: HOST.swap_free,
            }
        );
        let crowded = HostMemory { free: GIB, available: 2 * GIB, ..HOST };
        let memory = Memory::of(&crowded, &[level(16 * GIB, GIB)]);
        assert_eq!((memory.total, memory.free, memory.available), (16 * GIB, GIB, 2 * GIB));
    }

    #[test]
    fn cache_is_available_and_memory_high_is_its_end() {
        let mut own = level(4 * GIB, 3 * GIB);
        own.reclaimable = 2 * GIB;
        assert_eq!(Memory::of(&HOST, &[own]).available, 3 * GIB);
        own.high = 2 * GIB;
        let memory = Memory::of(&HOST, &[own]);
        assert_eq!((memory.total, memory.available), (4 * GIB, GIB));
    }

    #[test]
    fn without_swap_there_is_none_to_show() {
        let memory = Memory::of(&HOST, &[MemoryLevel { swap_max: 0, ..level(GIB, 0) }]);
        assert_eq!((memory.swap_total, memory.swap_free), (0, 0));
    }

    proptest! {
        #[test]
        fn parts_are_never_greater_than_the_whole(
            host in any::<[u64; 5]>(), numbers in prop::collection::vec(any::<[u64; 6]>(), 0..4)
        ) {
            let [total, free, available, swap_total, swap_free] = host;
            let host = HostMemory { total, free, available, swap_total, swap_free };
            let levels: Vec<_> = numbers.into_iter().map(|[usage, max, high, reclaimable, swap_usage, swap_max]|
                MemoryLevel { usage, max, high, reclaimable, swap_usage, swap_max }).collect();
            let memory = Memory::of(&host, &levels);
            prop_assert!(memory.total <= host.total && memory.free <= memory.total);
            prop_assert!(memory.available <= memory.total && memory.swap_free <= memory.swap_total);
        }
    }
}
