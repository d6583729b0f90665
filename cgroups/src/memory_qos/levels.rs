//! The cgroups above a container: the kernel gives it no more protection than each of them has, so each protects the sum
//! of what its children protect.
//!
//! A sum is computed anew from the children's own files whenever one may have changed, under a lock that everybody who does
//! so holds. Nothing is added or subtracted: what a crash left half done, the next settlement completes. A child that is
//! another runtime's counts with the value in its file, which is never written.
//!
//! A value that kubelet or an administrator wrote to a level is not ours to lower: it is the *floor*, kept with the values
//! that we wrote in a [mark](super::mark) on the directory, and it is back when the last protected child has gone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::retry_on_intr;

use super::class::PodPlace;
use super::mark::{Mark, Share};
use super::policy::Reach;
use super::setting::Knob;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::limits::{Limit, parse_size};
use crate::systemd::protect_slice;

/// The files of protection.
pub(super) const PROTECTIONS: [Knob; 2] = [Knob::Min, Knob::Low];

/// Held by whoever reads the children of a level and writes the level. Released when dropped, or by its holder's death.
#[derive(Debug)]
pub struct LevelsLock {
    _descriptor: OwnedFd,
}

impl LevelsLock {
    /// Waits for the lock on `directory`, which must be the same one on the whole node and closed to everybody but root:
    /// anybody who can open it can keep all pods waiting. A cgroup's own directory is open to everybody.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn take(directory: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = open(directory, flags, Mode::empty())
            .map_err(|errno| Error::call("open directory", directory, errno))?;
        retry_on_intr(|| flock(&descriptor, FlockOperation::LockExclusive))
            .map_err(|errno| Error::call("flock", directory, errno))?;
        Ok(Self { _descriptor: descriptor })
    }
}

impl Hierarchy {
    /// Brings the levels above a container in line with their children: those within `reach`, and those that an earlier
    /// settlement began with.
    ///
    /// # Errors
    /// The first file that could not be read or written, or systemd's refusal. Levels that are gone are passed over.
    pub fn settle_protection(
        &self,
        place: &PodPlace,
        reach: Option<Reach>,
        _lock: &LevelsLock,
    ) -> Result<()> {
        for (depth, level) in place.levels.iter().enumerate() {
            let within = match reach {
                None => false,
                Some(Reach::Pod) => depth == 0,
                Some(Reach::Node) => true,
            };
            match self.root().open_below(level).and_then(|directory| settle(&directory, place.slices, within))
            {
                Err(error) if error.is_not_found() => {}
                settled => settled?,
            }
        }
        Ok(())
    }
}

fn settle(directory: &Directory, is_slice: bool, within_reach: bool) -> Result<()> {
    let mark = Mark::read(directory.as_fd(), directory.path())?;
    if mark.is_none() && !within_reach {
        return Ok(());
    }
    let mut next = Mark::default();
    let mut changed = Vec::new();
    for knob in PROTECTIONS {
        let current = value_of(directory, knob.file())?;
        let share = Share::next(mark.as_ref().map(|mark| mark.share(knob)), current, sum(directory, knob)?);
        if share.next != current {
            changed.push((knob, share.next));
        }
        next.set(knob, share);
    }
    if changed.is_empty() && (mark.as_ref() == Some(&next) || (mark.is_none() && next.is_idle())) {
        return Ok(());
    }
    // Before the files, so that after a crash in between neither value is taken for somebody else's.
    next.write(directory.as_fd(), directory.path())?;
    if is_slice && !changed.is_empty() {
        protect_slice(directory.path(), &changed)?;
    }
    for (knob, value) in changed {
        directory.write(knob.file(), &value.to_string())?;
    }
    if next.is_idle() {
        Mark::remove(directory.as_fd(), directory.path())?;
    }
    Ok(())
}

/// What the children protect together. One that vanishes meanwhile protects nothing any more.
pub(super) fn sum(directory: &Directory, knob: Knob) -> Result<Limit> {
    let mut sum = Limit::At(0);
    for child in directory.children()? {
        let Ok(child) = child.to_str() else { continue };
        sum = match value_of(directory, &format!("{child}/{}", knob.file())) {
            Ok(value) => added(sum, value),
            Err(error) if error.is_not_found() => sum,
            Err(error) => return Err(error),
        };
    }
    Ok(sum)
}

/// The greatest number that the kernel keeps apart from "max": `PAGE_COUNTER_MAX` pages of 4096 bytes.
const GREATEST_BYTES: u64 = i64::MAX as u64 / 4096 * 4096;

fn added(sum: Limit, value: Limit) -> Limit {
    match (sum, value) {
        (Limit::At(sum), Limit::At(value)) => match sum.checked_add(value) {
            Some(sum) if sum < GREATEST_BYTES => Limit::At(sum),
            _ => Limit::Unlimited,
        },
        _ => Limit::Unlimited,
    }
}

pub(super) fn value_of(directory: &Directory, file: &str) -> Result<Limit> {
    let content = directory.read(file)?;
    parse_size(content.trim())
        .ok_or_else(|| Error::format(&directory.path().join(file), "number of bytes or max", &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_end_at_max() {
        assert_eq!(added(Limit::At(1 << 20), Limit::At(4096)), Limit::At((1 << 20) + 4096));
        assert_eq!(added(Limit::At(1 << 62), Limit::At(1 << 62)), Limit::Unlimited);
        assert_eq!(added(Limit::At(u64::MAX), Limit::At(1)), Limit::Unlimited);
        assert_eq!(added(Limit::Unlimited, Limit::At(0)), Limit::Unlimited);
    }

    /// A level of ordinary files, with children that protect this much by `memory.low`.
    fn level(root: &Path, own: &str, children: &[(&str, &str)]) -> Directory {
        let level = root.join("level");
        std::fs::create_dir(&level).unwrap();
        let files = |directory: &Path, low: &str| {
            std::fs::write(directory.join("memory.min"), "0\n").unwrap();
            std::fs::write(directory.join("memory.low"), low).unwrap();
        };
        files(&level, own);
        for (name, low) in children {
            std::fs::create_dir(level.join(name)).unwrap();
            files(&level.join(name), low);
        }
        Directory::open(&level).unwrap()
    }

    fn low(directory: &Directory) -> String {
        directory.read("memory.low").unwrap().trim().to_owned()
    }

    #[test]
    fn a_level_follows_its_children_and_ends_where_it_began() {
        let root = tempfile::tempdir().unwrap();
        let directory = level(root.path(), "0\n", &[("a", "4096\n"), ("b", "8192\n")]);
        settle(&directory, false, true).unwrap();
        assert_eq!(low(&directory), "12288");
        std::fs::remove_dir_all(root.path().join("level/a")).unwrap();
        settle(&directory, false, false).unwrap();
        assert_eq!(low(&directory), "8192", "a level that was begun with is kept in line");
        std::fs::remove_dir_all(root.path().join("level/b")).unwrap();
        settle(&directory, false, false).unwrap();
        assert_eq!(low(&directory), "0");
        assert_eq!(Mark::read(directory.as_fd(), directory.path()).unwrap(), None);
    }

    #[test]
    fn a_level_out_of_reach_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let directory = level(root.path(), "0\n", &[("a", "4096\n")]);
        settle(&directory, false, false).unwrap();
        assert_eq!(low(&directory), "0");
    }

    #[test]
    fn what_somebody_else_gave_a_level_is_never_lowered() {
        let root = tempfile::tempdir().unwrap();
        let directory = level(root.path(), "10000\n", &[("a", "4096\n")]);
        settle(&directory, false, true).unwrap();
        assert_eq!(low(&directory), "10000");
        std::fs::write(root.path().join("level/a/memory.low"), "20000").unwrap();
        settle(&directory, false, true).unwrap();
        assert_eq!(low(&directory), "20000");
        // Somebody else writes once more.
        std::fs::write(root.path().join("level/memory.low"), "15000").unwrap();
        std::fs::remove_dir_all(root.path().join("level/a")).unwrap();
        settle(&directory, false, true).unwrap();
        assert_eq!(low(&directory), "15000");
    }

    #[test]
    fn a_crash_between_mark_and_file_leaves_no_floor_behind() {
        let root = tempfile::tempdir().unwrap();
        let directory = level(root.path(), "0\n", &[("a", "4096\n")]);
        settle(&directory, false, true).unwrap();
        std::fs::write(root.path().join("level/a/memory.low"), "8192").unwrap();
        // The mark is written, and the file is not.
        let mark = Mark::read(directory.as_fd(), directory.path()).unwrap().unwrap();
        let mut next = mark.clone();
        next.set(Knob::Low, Share::next(Some(mark.share(Knob::Low)), Limit::At(4096), Limit::At(8192)));
        next.write(directory.as_fd(), directory.path()).unwrap();
        std::fs::remove_dir_all(root.path().join("level/a")).unwrap();
        settle(&directory, false, false).unwrap();
        assert_eq!(low(&directory), "0");
    }
}
