//! Syscall names and their numbers on each architecture. Knows no rules.

use super::architecture::Architecture;

/// Made by `generate_syscalls.py`: a name and its number per [`Architecture`], sorted by name. Text, because a
/// table of pointers would be relocated, and so cost every shim private memory.
const TEXT: &str = include_str!("syscalls.tbl");

/// A syscall's number on each architecture that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers([Option<u32>; Architecture::COUNT]);

impl Numbers {
    pub(super) fn on(&self, architecture: Architecture) -> Option<u32> {
        self.0[architecture as usize]
    }
}

/// The table, ready for look-ups; made for one compilation and dropped after it.
#[derive(Debug)]
pub(super) struct Table(Vec<(&'static str, &'static str)>);

impl Table {
    pub(super) fn new() -> Self {
        Self(TEXT.lines().filter_map(|line| line.split_once(' ')).collect())
    }

    /// The numbers of `name`; `None` when no architecture here has it.
    pub(super) fn numbers(&self, name: &str) -> Option<Numbers> {
        let index = self.0.binary_search_by_key(&name, |(known, _)| known).ok()?;
        let mut numbers = [None; Architecture::COUNT];
        for (number, cell) in numbers.iter_mut().zip(self.0[index].1.split(' ')) {
            *number = cell.parse().ok();
        }
        Some(Numbers(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_name_and_five_numbers_or_dashes_in_order() {
        let lines: Vec<&str> = TEXT.lines().collect();
        assert!(lines.is_sorted() && lines.len() > 480, "{} lines", lines.len());
        assert!(lines.windows(2).all(|pair| pair[0].split(' ').next() < pair[1].split(' ').next()));
        for line in lines {
            let cells: Vec<&str> = line.split(' ').collect();
            assert_eq!(cells.len(), 1 + Architecture::COUNT, "{line}");
            assert!(cells[1..].iter().all(|cell| *cell == "-" || cell.parse::<u32>().is_ok()), "{line}");
        }
    }

    #[test]
    fn new_calls_and_each_architectures_own_are_known() {
        let table = Table::new();
        for name in [
            "openat2",
            "landlock_create_ruleset",
            "cachestat",
            "fchmodat2",
            "mseal",
            "listmount",
            "setxattrat",
            "open_tree_attr",
            "file_getattr",
            "listns",
        ] {
            let numbers = table.numbers(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(numbers.0.iter().all(Option::is_some), "{name}: {numbers:?}");
        }
        let on = |name: &str, architecture| table.numbers(name).unwrap().on(architecture);
        assert_eq!(on("ioctl", Architecture::X32), Some(0x4000_0000 + 514));
        assert_eq!(on("read", Architecture::X32), Some(0x4000_0000));
        assert_eq!(on("socketcall", Architecture::X86), Some(102));
        assert_eq!(on("socketcall", Architecture::X86_64), None);
        assert_eq!(on("set_tls", Architecture::Arm), Some(0x000f_0005));
        assert_eq!(on("read", Architecture::Aarch64), Some(63));
    }
}
