//! Conditions on a syscall's arguments, and the order in which rules are tried. Knows no syscall.
//!
//! The order is libseccomp's (`_db_chain_lt` of its `db.c`). Conditions in a rule go by argument. Rules compare
//! by their first conditions, then the second, and so on: the higher argument is tried first; then equal, not
//! equal and masked before less before greater; then the tighter value (for less the smaller, otherwise the larger). A rule
//! that begins another goes before it, as it makes the other void. What is left is in the profile's order.

use std::cmp::{Ordering, Reverse};

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::architecture::Width;
use super::error::Error;

/// Syscalls have this many arguments.
const ARGUMENTS: usize = 6;

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
}

/// What an argument is compared with, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparison {
    /// The bits of `mask` are those of `value`, which has no others.
    Equal {
        mask: u64,
        value: u64,
    },
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    GreaterOrEqual(u64),
    Greater(u64),
}

impl Condition {
    /// Checks and reads a condition of the entry whose first name is `syscall`.
    pub(super) fn new(oci: &LinuxSeccompArg, syscall: &str) -> Result<Self, Error> {
        use LinuxSeccompOperator as Oci;
        let (index, value) = (oci.index(), oci.value());
        let argument = match u8::try_from(index) {
            Ok(argument) if index < ARGUMENTS => argument,
            _ => return Err(Error::ArgumentIndex { syscall: syscall.to_owned(), index }),
        };
        let second = oci.value_two().unwrap_or(0);
        if second != 0 && oci.op() != Oci::ScmpCmpMaskedEq {
            let operator = oci.op().to_string();
            let syscall = syscall.to_owned();
            return Err(Error::SecondValueNotTaken { syscall, index, operator, value: second });
        }
        let comparison = match oci.op() {
            Oci::ScmpCmpNe => Comparison::NotEqual(value),
            Oci::ScmpCmpLt => Comparison::Less(value),
            Oci::ScmpCmpLe => Comparison::LessOrEqual(value),
            Oci::ScmpCmpEq => Comparison::Equal { mask: u64::MAX, value },
            Oci::ScmpCmpGe => Comparison::GreaterOrEqual(value),
            Oci::ScmpCmpGt => Comparison::Greater(value),
            // The first value is the mask. Bits of the second outside of it are dropped, as libseccomp does.
            Oci::ScmpCmpMaskedEq => Comparison::Equal { mask: value, value: second & value },
        };
        Ok(Self { argument, comparison })
    }

    /// The condition as an architecture of `width` checks it; `None` when it always holds there.
    ///
    /// The upper halves are dropped, not looked at: `-1` written as a 64-bit number then still means `-1`.
    pub(super) fn at(self, width: Width) -> Option<Self> {
        let bits = match width {
            Width::Bits32 => u64::from(u32::MAX),
            Width::Bits64 => u64::MAX,
        };
        let comparison = match self.comparison {
            Comparison::Equal { mask, .. } if mask & bits == 0 => return None,
            Comparison::Equal { mask, value } => Comparison::Equal { mask: mask & bits, value: value & bits },
            Comparison::NotEqual(value) => Comparison::NotEqual(value & bits),
            Comparison::Less(value) => Comparison::Less(value & bits),
            Comparison::LessOrEqual(value) => Comparison::LessOrEqual(value & bits),
            Comparison::GreaterOrEqual(value) => Comparison::GreaterOrEqual(value & bits),
            Comparison::Greater(value) => Comparison::Greater(value & bits),
        };
        Some(Self { comparison, ..self })
    }

    /// Sorts before the rank of every condition that is tried later.
    fn rank(self) -> (Reverse<u8>, u8, u64) {
        let (class, value) = match self.comparison {
            Comparison::Equal { value, .. } | Comparison::NotEqual(value) => (0, !value),
            Comparison::Less(value) | Comparison::LessOrEqual(value) => (1, value),
            Comparison::GreaterOrEqual(value) | Comparison::Greater(value) => (2, !value),
        };
        (Reverse(self.argument), class, value)
    }
}

/// An entry's conditions as alternatives: one rule with all of them, or, when two of them test the same argument,
/// one rule for each (runc's reading of such entries).
pub(super) fn alternatives(mut conditions: Vec<Condition>) -> Vec<Vec<Condition>> {
    conditions.sort_by_key(|condition| condition.argument);
    if conditions.windows(2).any(|pair| pair[0].argument == pair[1].argument) {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    }
}

/// `Less` when a rule with the conditions `left` is tried before one with `right`.
pub(super) fn precedence(left: &[Condition], right: &[Condition]) -> Ordering {
    left.iter().map(|condition| condition.rank()).cmp(right.iter().map(|condition| condition.rank()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(argument: u8, comparison: Comparison) -> Condition {
        Condition { argument, comparison }
    }

    #[test]
    fn two_conditions_on_one_argument_stand_alone() {
        let low = condition(1, Comparison::Less(5));
        let high = condition(1, Comparison::Greater(9));
        let other = condition(0, Comparison::NotEqual(3));
        assert_eq!(alternatives(vec![low, other, high]), [vec![other], vec![low], vec![high]]);
        assert_eq!(alternatives(vec![low, other]), [vec![other, low]]);
        assert_eq!(alternatives(vec![]), [vec![]]);
    }

    #[test]
    fn rules_are_tried_from_the_tightest() {
        let equal = |argument, value| condition(argument, Comparison::Equal { mask: u64::MAX, value });
        let tried = [
            vec![equal(1, 1)],
            vec![equal(0, 9)],
            vec![equal(0, 9), equal(1, 4)],
            vec![equal(0, 7)],
            vec![condition(0, Comparison::Less(3))],
            vec![condition(0, Comparison::LessOrEqual(1 << 40))],
            vec![condition(0, Comparison::GreaterOrEqual(1 << 40))],
            vec![condition(0, Comparison::Greater(3))],
        ];
        assert!(tried.windows(2).all(|pair| precedence(&pair[0], &pair[1]) == Ordering::Less));
    }

    #[test]
    fn a_32_bit_architecture_drops_the_upper_half() {
        let all = condition(0, Comparison::Equal { mask: u64::MAX, value: u64::MAX });
        let low = Comparison::Equal { mask: 0xffff_ffff, value: 0xffff_ffff };
        assert_eq!(all.at(Width::Bits32), Some(condition(0, low)));
        let upper = condition(0, Comparison::Equal { mask: 1 << 40, value: 1 << 40 });
        assert_eq!(upper.at(Width::Bits32), None);
        assert_eq!(upper.at(Width::Bits64), Some(upper));
    }
}
