//! The marks that tell packets of different levels apart, in bits that the node's owner sets aside for them. Knows no packet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::level::Level;

/// What a packet's mark becomes where `mask` has bits; the others stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketMark {
    /// Has no bit that `mask` has not.
    pub value: u32,
    /// Whose bits are set.
    pub mask: u32,
}

impl fmt::Display for PacketMark {
    /// As `tc` and iptables write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#x}/{:#x}", self.value, self.mask)
    }
}

/// A mark for each level: that of level 0, and each further level's is greater by the mask's lowest bit. None of them is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkScale {
    first: u32,
    mask: u32,
}

/// Why something is not a [`MarkScale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not the mark of level 0 and a mask of adjacent bits with room for seven more, as in 0x10/0xf0, where each level adds the lowest bit"
)]
pub struct MarkScaleFault;

impl MarkScale {
    fn new(first: u32, mask: u32) -> Option<Self> {
        let step = lowest_bit(mask);
        let last = step.checked_mul(u32::from(Level::OFFLINE.number()))?.checked_add(first)?;
        let is_adjacent = mask.checked_add(step).is_none_or(|above| above & mask == 0);
        (first != 0 && (first | last) & !mask == 0 && is_adjacent).then_some(Self { first, mask })
    }

    /// The mark of packets of this level.
    #[must_use]
    pub fn of(self, level: Level) -> PacketMark {
        let value = self.first + lowest_bit(self.mask) * u32::from(level.number());
        PacketMark { value, mask: self.mask }
    }
}

fn lowest_bit(mask: u32) -> u32 {
    mask & mask.wrapping_neg()
}

impl FromStr for MarkScale {
    type Err = MarkScaleFault;

    /// Reads `first/mask`, each decimal, or hexadecimal after `0x`.
    fn from_str(text: &str) -> Result<Self, MarkScaleFault> {
        let (first, mask) = text.split_once('/').ok_or(MarkScaleFault)?;
        number(first).zip(number(mask)).and_then(|(first, mask)| Self::new(first, mask)).ok_or(MarkScaleFault)
    }
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // `from_str_radix` takes a sign.
    let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| is_unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_a_mark_of_its_own_within_the_mask() {
        for (text, first, last) in [
            ("0x10/0xf0", "0x10/0xf0", "0x80/0xf0"),
            ("128/240", "0x80/0xf0", "0xf0/0xf0"),
            ("0x80000000/0xf0000000", "0x80000000/0xf0000000", "0xf0000000/0xf0000000"),
            ("1/0xffffffff", "0x1/0xffffffff", "0x8/0xffffffff"),
        ] {
            let scale: MarkScale = text.parse().unwrap();
            let marks = Level::ALL.map(|level| scale.of(level));
            assert!(marks.windows(2).all(|pair| pair[0].value < pair[1].value), "{marks:?}");
            assert!(marks.iter().all(|mark| mark.value & !mark.mask == 0), "{marks:?}");
            assert_eq!((marks[0].to_string(), marks[7].to_string()), (first.to_owned(), last.to_owned()));
        }
    }

    #[test]
    fn marks_without_room_for_eight_levels_are_refused() {
        for text in [
            "",
            "0x10",
            "/",
            "0x10/",
            "x/0xf0",
            "-1/0xf0",
            "+16/0xf0",
            "0x+10/0xf0",
            "16/0x1f0000000",
            // No bits, too few, not adjacent, the mark of level 0 outside, the last level's outside, a mark of 0.
            "0/0",
            "0x10/0x30",
            "0x10/0x1010",
            "0x08/0xf0",
            "0x11/0xf0",
            "0x90/0xf0",
            "0xf0000000/0xf0000000",
            "0/0xf0",
        ] {
            assert_eq!(text.parse::<MarkScale>(), Err(MarkScaleFault), "{text}");
        }
    }
}
