//! `cpuN/topology/*` below `/sys/devices/system/cpu` (`Documentation/ABI/stable/sysfs-devices-system-cpu`): as many cores of
//! one socket, each with one thread, as `cpuinfo` tells of.

use super::cpu_range;
use super::text::Text;

/// The names of the files, and what each is about.
pub const CPU_TOPOLOGY: [(&str, CpuTopology); 13] = [
    ("core_cpus", CpuTopology::OwnMask),
    ("core_cpus_list", CpuTopology::Own),
    ("core_id", CpuTopology::Own),
    ("core_siblings", CpuTopology::AllMask),
    ("core_siblings_list", CpuTopology::AllList),
    ("die_cpus", CpuTopology::AllMask),
    ("die_cpus_list", CpuTopology::AllList),
    ("die_id", CpuTopology::Zero),
    ("package_cpus", CpuTopology::AllMask),
    ("package_cpus_list", CpuTopology::AllList),
    ("physical_package_id", CpuTopology::Zero),
    ("thread_siblings", CpuTopology::OwnMask),
    ("thread_siblings_list", CpuTopology::Own),
];

/// What such a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuTopology {
    /// The CPU's own number, which is also the list of it alone.
    Own,
    /// The mask of the CPU alone.
    OwnMask,
    /// The list of all CPUs.
    AllList,
    /// The mask of all CPUs.
    AllMask,
    /// There is one, the first.
    Zero,
}

impl CpuTopology {
    /// Writes it for one of `count` CPUs.
    pub fn write(self, out: &mut Vec<u8>, cpu: u32, count: u32) {
        match self {
            Self::Own => _ = Text(out).number(u64::from(cpu)).word("\n"),
            Self::OwnMask => cpu_mask(out, cpu..=cpu, count),
            Self::AllList => cpu_range(out, count),
            Self::AllMask => cpu_mask(out, 0..=count.saturating_sub(1), count),
            Self::Zero => _ = Text(out).word("0\n"),
        }
    }
}

/// As the kernel prints a bitmap of `count` bits (`Documentation/core-api/printk-formats.rst`, `%*pb`): groups of 32 bits in
/// hexadecimal, the highest first.
fn cpu_mask(out: &mut Vec<u8>, set: std::ops::RangeInclusive<u32>, count: u32) {
    let groups = count.div_ceil(32).max(1);
    for group in (0..groups).rev() {
        let bits = (count - group * 32).clamp(1, 32);
        let value = (0..bits)
            .filter(|bit| set.contains(&(group * 32 + bit)))
            .fold(0u64, |value, bit| value | 1 << bit);
        let mut text = Text(out);
        text.hexadecimal(value, bits.div_ceil(4));
        text.word(if group > 0 { "," } else { "\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(what: CpuTopology, cpu: u32, count: u32) -> String {
        let mut out = Vec::new();
        what.write(&mut out, cpu, count);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn masks_are_as_wide_as_there_are_cpus() {
        for (cpu, count, own, all) in [
            (0, 1, "1", "1"),
            (1, 2, "2", "3"),
            (3, 8, "08", "ff"),
            (31, 32, "80000000", "ffffffff"),
            (32, 40, "01,00000000", "ff,ffffffff"),
            (0, 128, "00000000,00000000,00000000,00000001", "ffffffff,ffffffff,ffffffff,ffffffff"),
        ] {
            assert_eq!(written(CpuTopology::OwnMask, cpu, count), format!("{own}\n"), "{cpu} of {count}");
            assert_eq!(written(CpuTopology::AllMask, cpu, count), format!("{all}\n"), "{count}");
        }
    }

    #[test]
    fn names_are_sorted_as_a_listing_is_and_lists_agree_with_the_numbers() {
        assert!(CPU_TOPOLOGY.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(written(CpuTopology::Own, 5, 8), "5\n");
        assert_eq!(written(CpuTopology::AllList, 5, 8), "0-7\n");
        assert_eq!(written(CpuTopology::Zero, 5, 8), "0\n");
    }
}
