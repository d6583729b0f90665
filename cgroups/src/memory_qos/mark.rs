//! What Ballast remembers about a level of cgroups, in an attribute of its directory.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::setting::Knob;
use crate::attribute::{read_attribute, remove_attribute, write_attribute};
use crate::error::{Error, Result};
use crate::limits::{Limit, parse_size};

const NAME: &str = "trusted.ballast.memory_protection";

/// One file of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// What somebody else wrote; never gone below.
    pub(super) floor: Limit,
    /// What the file held before `next` was written. Whoever finds either of the two in the file finds what we wrote, even
    /// after a crash between the mark and the file.
    pub(super) previous: Limit,
    /// What was, or was to be, written.
    pub(super) next: Limit,
}

impl Share {
    /// The share that follows from the last one, what is in the file, and what the children protect together.
    pub(super) fn next(last: Option<Self>, current: Limit, sum: Limit) -> Self {
        let floor = match last {
            Some(last) if current == last.next || current == last.previous => last.floor,
            _ => current,
        };
        let next = floor.max(sum);
        Self { floor, previous: if next == current { next } else { current }, next }
    }
}

/// The mark of a level, one share for each file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    min: Share,
    low: Share,
}

impl Default for Mark {
    fn default() -> Self {
        let nothing = Share { floor: Limit::At(0), previous: Limit::At(0), next: Limit::At(0) };
        Self { min: nothing, low: nothing }
    }
}

impl Mark {
    pub(super) fn share(&self, knob: Knob) -> Share {
        if knob == Knob::Min { self.min } else { self.low }
    }

    pub(super) fn set(&mut self, knob: Knob, share: Share) {
        *(if knob == Knob::Min { &mut self.min } else { &mut self.low }) = share;
    }

    /// Whether the level is as it would be without us.
    pub(super) fn is_idle(&self) -> bool {
        [self.min, self.low].iter().all(|share| share.next == share.floor)
    }

    pub(super) fn read(directory: BorrowedFd<'_>, path: &Path) -> Result<Option<Self>> {
        let Some(text) = read_attribute(directory, path, NAME)? else { return Ok(None) };
        Self::parse(&text).map(Some).ok_or_else(|| Error::format(path, "mark of Ballast", &text))
    }

    pub(super) fn write(&self, directory: BorrowedFd<'_>, path: &Path) -> Result<()> {
        write_attribute(directory, path, NAME, &self.spell())
    }

    pub(super) fn remove(directory: BorrowedFd<'_>, path: &Path) -> Result<()> {
        remove_attribute(directory, path, NAME)
    }

    fn spell(&self) -> String {
        let [min, low] =
            [self.min, self.low].map(|Share { floor, previous, next }| format!("{floor} {previous} {next}"));
        format!("{min} {low}")
    }

    fn parse(text: &str) -> Option<Self> {
        let values: Vec<Limit> = text.split(' ').map(parse_size).collect::<Option<_>>()?;
        let [a, b, c, d, e, f] = values[..] else { return None };
        let share = |floor, previous, next| Share { floor, previous, next };
        Some(Self { min: share(a, b, c), low: share(d, e, f) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_text() {
        let mut mark = Mark::default();
        mark.set(Knob::Low, Share::next(None, Limit::At(4096), Limit::Unlimited));
        assert_eq!(mark.spell(), "0 0 0 4096 4096 max");
        assert_eq!(Mark::parse(&mark.spell()), Some(mark));
        for text in ["", "1 2 3", "a b c d e f", "0 0 0 0 0 0 0"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_we_did_not_write_is_a_floor() {
        let ours = Share { floor: Limit::At(0), previous: Limit::At(1), next: Limit::At(2) };
        for (current, floor) in [(1, 0), (2, 0), (3, 3)] {
            assert_eq!(Share::next(Some(ours), Limit::At(current), Limit::At(9)).floor, Limit::At(floor));
        }
    }
}
