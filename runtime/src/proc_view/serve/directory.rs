//! Whose files a request is about: each container has a directory in the root of a file system, and its number is a part of the
//! id of every node in it. Must not know what is in the directories.

use super::attributes::ROOT;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bits of a node's id that say which node of its directory it is; those above are the directory's number.
const WITHIN_BITS: u32 = 40;
const WITHIN_MASK: u64 = (1 << WITHIN_BITS) - 1;

/// The directory itself, among its nodes.
pub(super) const ITSELF: u64 = 1;

/// A container's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Directory(
    /// From 1 on: the root is what would be the directory 0.
    u32,
);

/// What a node's id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The file system's root, in which the directories are.
    Root,
    /// A node of a directory.
    Within(Directory, u64),
}

impl Directory {
    /// How many there can be.
    pub(super) const COUNT_MAX: u32 = (1 << (u64::BITS - WITHIN_BITS)) - 1;

    /// The one with this number: none when it is not from 1 to [`Self::COUNT_MAX`].
    pub(super) fn new(number: u32) -> Option<Self> {
        (1..=Self::COUNT_MAX).contains(&number).then_some(Self(number))
    }

    /// The name in the root.
    pub(crate) fn name(self) -> CString {
        // A number has no zero byte.
        CString::new(self.0.to_string()).unwrap_or_default()
    }

    fn named(name: &CStr) -> Option<Self> {
        name.to_str().ok()?.parse().ok().and_then(Self::new)
    }

    /// The id of a node of this directory.
    pub(super) fn id(self, within: u64) -> u64 {
        u64::from(self.0) << WITHIN_BITS | within & WITHIN_MASK
    }
}

impl Place {
    /// `None` for an id that no node has.
    pub(super) fn of(id: u64) -> Option<Self> {
        if id == ROOT {
            return Some(Self::Root);
        }
        let number = u32::try_from(id >> WITHIN_BITS).ok()?;
        Some(Self::Within(Directory::new(number)?, id & WITHIN_MASK))
    }
}

/// What is in the directories that are there: nothing yet in one that nobody has.
#[derive(Debug)]
pub(super) struct Directories<C>(
    /// Held by the one thread that serves for as long as it takes to make a text, and by others for a moment.
    Mutex<HashMap<Directory, Option<C>>>,
);

impl<C> Default for Directories<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Directories<C> {
    /// Makes a directory of which all names are known and nothing can be read.
    pub(super) fn add(&self, directory: Directory) {
        self.lock().insert(directory, None);
    }

    /// Gives a directory to a container.
    pub(super) fn fill(&self, directory: Directory, content: C) {
        self.lock().insert(directory, Some(content));
    }

    pub(super) fn remove(&self, directory: Directory) {
        self.lock().remove(&directory);
    }

    /// Takes a step with the content of a directory. Of one that is gone, readers hear what they hear of a file system that is:
    /// `ENOTCONN`.
    pub(super) fn with<R>(
        &self,
        directory: Directory,
        step: impl FnOnce(&mut C) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        self.lock().get_mut(&directory).and_then(Option::as_mut).ok_or(Errno::NOTCONN).and_then(step)
    }

    /// Makes sure that a directory is there, whether anybody has it or not.
    pub(super) fn check(&self, directory: Directory) -> Result<(), Errno> {
        if self.lock().contains_key(&directory) { Ok(()) } else { Err(Errno::NOTCONN) }
    }

    /// The directory with this name in the root.
    pub(super) fn look_up(&self, name: &CStr) -> Result<Directory, Errno> {
        Directory::named(name).filter(|directory| self.lock().contains_key(directory)).ok_or(Errno::NOENT)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Directory, Option<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_node_it_is() {
        assert_eq!(Place::of(ROOT), Some(Place::Root));
        for number in [1, 2, Directory::COUNT_MAX] {
            let directory = Directory::new(number).unwrap();
            for within in [ITSELF, 2, WITHIN_MASK] {
                assert_eq!(Place::of(directory.id(within)), Some(Place::Within(directory, within)));
            }
        }
        assert_eq!((Place::of(0), Place::of(2), Place::of(WITHIN_MASK)), (None, None, None));
        assert_eq!((Directory::new(0), Directory::new(Directory::COUNT_MAX + 1)), (None, None));
    }

    #[test]
    fn names_are_of_directories_that_are_there() {
        let directories = Directories::default();
        let directory = Directory::new(17).unwrap();
        assert_eq!(directories.look_up(c"17"), Err(Errno::NOENT));
        assert_eq!(directories.check(directory), Err(Errno::NOTCONN));
        directories.add(directory);
        assert_eq!((directories.look_up(c"17"), directories.check(directory)), (Ok(directory), Ok(())));
        assert_eq!(directories.with(directory, |()| Ok(1)), Err(Errno::NOTCONN), "it is nobody's yet");
        directories.fill(directory, ());
        for name in [c"0", c"18", c"-1", c"", c"cpuinfo", c"99999999999"] {
            assert_eq!(directories.look_up(name), Err(Errno::NOENT), "{name:?}");
        }
        assert_eq!(directories.with(directory, |()| Ok(1)), Ok(1));
        directories.remove(directory);
        assert_eq!(directories.with(directory, |()| Ok(1)), Err(Errno::NOTCONN));
        assert_eq!(directories.look_up(c"17"), Err(Errno::NOENT));
    }
}
