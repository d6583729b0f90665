//! The one scale of priorities. Each backend's own numbers, and which way they count, are in its translation table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A priority from 0, the highest, to 7, the lowest.
///
/// 0 is `online`: work that somebody waits for. 7 is `offline`: work that runs on what the others leave. Between them, lower numbers come
/// first, as far as a backend can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

/// Why something is not a [`Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a priority: 0 (online, the highest) to 7 (offline, the lowest)")]
pub struct LevelFault;

impl Level {
    /// The highest: work that somebody waits for.
    pub const ONLINE: Self = Self(0);
    /// The lowest: work that runs on what the others leave.
    pub const OFFLINE: Self = Self(7);

    /// All of them, the highest first.
    pub const ALL: [Self; 8] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5), Self(6), Self(7)];

    /// The level of this number.
    ///
    /// # Errors
    /// When it is greater than 7.
    pub fn new(number: u8) -> Result<Self, LevelFault> {
        if number <= Self::OFFLINE.0 { Ok(Self(number)) } else { Err(LevelFault) }
    }

    /// 0 to 7; lower comes first.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Level {
    type Err = LevelFault;

    /// Reads `0` to `7`, `online` or `offline`.
    fn from_str(text: &str) -> Result<Self, LevelFault> {
        match text {
            "online" => Ok(Self::ONLINE),
            "offline" => Ok(Self::OFFLINE),
            _ => match text.as_bytes() {
                [digit @ b'0'..=b'7'] => Ok(Self(digit - b'0')),
                _ => Err(LevelFault),
            },
        }
    }
}

impl fmt::Display for Level {
    /// The number, as annotations and files have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl TryFrom<u8> for Level {
    type Error = LevelFault;

    fn try_from(number: u8) -> Result<Self, LevelFault> {
        Self::new(number)
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_both_names_are_read() {
        assert_eq!("online".parse(), Ok(Level::ONLINE));
        assert_eq!("offline".parse(), Ok(Level::OFFLINE));
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert_eq!(Level::new(level.number()), Ok(level));
        }
    }

    #[test]
    fn what_is_not_on_the_scale_is_refused() {
        for text in ["8", "-1", "", "07", "+1", " 1", "Online", "high", "1.0", "٣"] {
            assert_eq!(text.parse::<Level>(), Err(LevelFault), "{text:?}");
        }
        assert_eq!(Level::new(8), Err(LevelFault));
    }

    #[test]
    fn a_lower_number_comes_first() {
        assert!(Level::ALL.is_sorted());
        assert!(Level::ONLINE < Level::OFFLINE);
    }
}
