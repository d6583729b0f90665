//! Lists of CPU numbers as the kernel writes them (`Documentation/admin-guide/cputopology.rst`): `0-3,7`.

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
        cpus.sort_unstable();
        cpus.dedup();
        Some(Self(cpus))
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

    /// How many of them are among `others`, too.
    #[must_use]
    pub fn common(&self, others: &Self) -> u32 {
        let common = self.0.iter().filter(|cpu| others.contains(**cpu)).count();
        u32::try_from(common).unwrap_or(u32::MAX)
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
