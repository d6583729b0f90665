//! What Ballast remembers about a level of cgroups: an extended attribute of the directory, so that it is there for every
//! shim, survives all of them, and goes with the directory. Only the host's root can read or write it.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use super::setting::Knob;
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

/// Longest value that is read, in bytes.
const LONGEST: usize = 4096;

/// The text of an extended attribute; `None` when there is none, also where there cannot be any.
pub(super) fn read_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str) -> Result<Option<String>> {
    let mut value = Vec::with_capacity(LONGEST);
    match fgetxattr(directory, name, rustix::buffer::spare_capacity(&mut value)) {
        Ok(_) => {
            let text = String::from_utf8(value);
            text.map(Some).map_err(|_| Error::format(path, "text in an attribute of Ballast", ""))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(Error::call("fgetxattr", path, errno)),
    }
}

pub(super) fn write_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str, value: &str) -> Result<()> {
    fsetxattr(directory, name, value.as_bytes(), XattrFlags::empty())
        .map_err(|errno| Error::call("fsetxattr", path, errno))
}

pub(super) fn remove_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str) -> Result<()> {
    match fremovexattr(directory, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::call("fremovexattr", path, errno)),
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
