//! Lists of CPU numbers as the kernel writes them (`Documentation/admin-guide/cputopology.rst`): `0-3,7`.

use std::fmt;

/// CPU numbers, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuList(Vec<u32>);

/// More CPUs than any kernel can be built for; a longer list is not the kernel's.
const CPUS_MAX: usize = 1 << 16;

impl CpuList {
    /// Reads a list; `None` when it is not one, or names no CPU.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut cpus = Vec::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            let count = usize::try_from(last.checked_sub(first)?).ok()?;
            if cpus.len() + count >= CPUS_MAX {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(cpus.into_iter().collect())
    }

    /// The first `count` CPU numbers.
    #[must_use]
    pub fn first(count: u32) -> Self {
        Self((0..count).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a CPU is among them.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// Those of them that are among `others`, too.
    #[must_use]
    pub fn common_with(&self, others: &Self) -> Self {
        Self(self.iter().filter(|cpu| others.contains(*cpu)).collect())
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many of them are among `others`, too.
    #[must_use]
    pub fn common(&self, others: &Self) -> u32 {
        let common = self.0.iter().filter(|cpu| others.contains(**cpu)).count();
        u32::try_from(common).unwrap_or(u32::MAX)
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let mut cpus: Vec<u32> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        Self(cpus)
    }
}

/// As the kernel writes it: ranges and numbers.
impl fmt::Display for CpuList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let length =
                rest.iter().zip(first..).take_while(|(cpu, expected)| *cpu == expected).count().max(1);
            let (range, after) = rest.split_at(length);
            match range.last() {
                Some(last) if length > 1 => write!(formatter, "{separator}{first}-{last}")?,
                _ => write!(formatter, "{separator}{first}")?,
            }
            (rest, separator) = (after, ",");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_numbers_are_read() {
        assert_eq!(CpuList::parse("0-3,7\n"), Some(CpuList(vec![0, 1, 2, 3, 7])));
        assert_eq!(CpuList::parse("5"), Some(CpuList(vec![5])));
        assert_eq!(CpuList::parse("3,1,1-2"), Some(CpuList(vec![1, 2, 3])));
        assert_eq!(CpuList::first(3), CpuList(vec![0, 1, 2]));
    }

    #[test]
    fn lists_are_written_as_the_kernel_writes_them() {
        for text in ["0-3,7", "5", "0-1,3,5-9", "0,2,4"] {
            assert_eq!(CpuList::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(CpuList::default().to_string(), "");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "\n", "x", "3-1", "1,", "-1", "0-4294967295"] {
            assert_eq!(CpuList::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_request_for_cpus_that_are_not_there_is_cut_to_those_that_are() {
        let wide = CpuList::parse("0-127").unwrap();
        assert_eq!(wide.common(&CpuList::parse("0-1").unwrap()), 2);
    }
}
