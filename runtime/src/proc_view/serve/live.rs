//! Files whose text is made for every reader: in one directory for each container, every `read(2)` from the start a new text.

use super::attributes::{Attributes, FOREVER, Kind, ROOT};
use super::directory::{Directories, Directory, ITSELF, Place};
use super::handles::{Handles, Piece, part};
use crate::proc_view::{Texts, ViewFile};
use fuse_backend_rs::abi::fuse_abi::{FsOptions, OpenOptions, stat64};
use fuse_backend_rs::api::filesystem::{Context, DirEntry, Entry, FileSystem, ZeroCopyWriter};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size that every file is said to have. That of a text is known when it is made; with 0, as the kernel's own files below
/// `/proc` have, `sendfile(2)` would take the file for empty and not ask (busybox `cat` prints nothing then). sysfs says 4096
/// of all files. This is the largest that `tail` reads in one piece, so that it finds the end of shorter texts.
const SHOWN_BYTES: u64 = 8192;

/// The root has 1.
const FIRST_FILE_NODE: u64 = 2;

/// The directories of all containers.
#[derive(Debug)]
pub(super) struct LiveFiles<T> {
    /// When the first could have been made.
    since: Duration,
    directories: Directories<Reading<T>>,
}

/// What is in a directory, and its open files.
#[derive(Debug)]
struct Reading<T> {
    handles: Handles,
    texts: T,
    text: Vec<u8>,
}

impl<T> Default for LiveFiles<T> {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { since: Duration::from_secs(since.as_secs()), directories: Directories::default() }
    }
}

impl<T: Texts> LiveFiles<T> {
    pub(super) fn add(&self, directory: Directory) {
        self.directories.add(directory);
    }

    pub(super) fn fill(&self, directory: Directory, texts: T) {
        self.directories.fill(directory, Reading { handles: Handles::default(), texts, text: Vec::new() });
    }

    pub(super) fn remove(&self, directory: Directory) {
        self.directories.remove(directory);
    }

    /// What is known of a node. Names and attributes do not change.
    fn attributes(&self, place: Place) -> Result<Attributes, Errno> {
        let Place::Within(directory, within) = place else {
            return Ok(Attributes::of_directory(ROOT, self.since));
        };
        self.directories.check(directory)?;
        match file_of(within) {
            Some(file) => Ok(self.of_file(directory, file)),
            None if within == ITSELF => Ok(Attributes::of_directory(directory.id(ITSELF), self.since)),
            None => Err(Errno::NOENT),
        }
    }

    fn of_file(&self, directory: Directory, file: ViewFile) -> Attributes {
        let kind = Kind::File { mode: file.mode(), size: SHOWN_BYTES };
        Attributes { id: directory.id(node_of(file)), kind, changed: self.since, valid: FOREVER }
    }

    /// The entries of a directory from an offset on: none of the root, as whoever needs a container's directory knows its name.
    fn entries(
        &self,
        node: u64,
        offset: u64,
    ) -> Result<impl Iterator<Item = (DirEntry<'static>, Attributes)>, Errno> {
        let directory = match Place::of(node).ok_or(Errno::NOENT)? {
            Place::Root => None,
            Place::Within(directory, ITSELF) => {
                self.directories.check(directory).map(|()| Some(directory))?
            }
            Place::Within(..) => return Err(Errno::NOTDIR),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(directory.into_iter().flat_map(move |directory| {
            files().zip(1..).skip(skipped).map(move |(file, next_offset)| {
                let attributes = self.of_file(directory, file);
                let (type_, name) = (attributes.kind.entry_type(), file.name().as_bytes());
                (DirEntry { ino: attributes.id, offset: next_offset, type_, name }, attributes)
            })
        }))
    }

    /// Takes a step with the open files of a file's directory.
    fn reading<R>(
        &self,
        node: u64,
        step: impl FnOnce(&mut Reading<T>, ViewFile) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let Some(Place::Within(directory, within)) = Place::of(node) else { return Err(Errno::ISDIR) };
        let file = file_of(within).ok_or(Errno::ISDIR)?;
        self.directories.with(directory, |reading| step(reading, file))
    }
}

impl<T: Texts> Reading<T> {
    fn piece(&mut self, file: ViewFile, handle: u64, offset: usize, size: usize) -> Result<&[u8], Errno> {
        if let Piece::Anew = self.handles.piece(handle, offset, size) {
            self.text.clear();
            self.texts.write(file, &mut self.text)?;
            self.handles.shown(handle, &self.text, offset, size);
            return Ok(part(&self.text, offset, size));
        }
        match self.handles.piece(handle, offset, size) {
            Piece::Known(piece) => Ok(piece),
            Piece::Anew => Ok(&[]),
        }
    }
}

impl<T: Texts> FileSystem for LiveFiles<T> {
    type Inode = u64;
    type Handle = u64;

    /// Listing the directory looks all its files up at once.
    fn init(&self, _capable: FsOptions) -> io::Result<FsOptions> {
        Ok(FsOptions::DO_READDIRPLUS)
    }

    fn lookup(&self, _: &Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        let found = match Place::of(parent).ok_or(Errno::NOENT)? {
            Place::Root => Place::Within(self.directories.look_up(name)?, ITSELF),
            Place::Within(directory, _) => {
                let file = files().find(|file| file.name().as_bytes() == name.to_bytes());
                Place::Within(directory, node_of(file.ok_or(Errno::NOENT)?))
            }
        };
        Ok(self.attributes(found)?.entry(FOREVER))
    }

    fn getattr(&self, _: &Context, node: u64, _handle: Option<u64>) -> io::Result<(stat64, Duration)> {
        Ok((self.attributes(Place::of(node).ok_or(Errno::NOENT)?)?.stat(), FOREVER))
    }

    /// Every `read(2)` is a request, so a descriptor that is read again from its start sees new numbers.
    fn open(
        &self,
        _: &Context,
        node: u64,
        _flags: u32,
        _fuse_flags: u32,
    ) -> io::Result<(Option<u64>, OpenOptions, Option<u32>)> {
        let handle = self.reading(node, |reading, _| Ok(reading.handles.open()))?;
        Ok((Some(handle), OpenOptions::DIRECT_IO, None))
    }

    fn read(
        &self,
        _: &Context,
        node: u64,
        handle: u64,
        answer: &mut dyn ZeroCopyWriter,
        size: u32,
        offset: u64,
        reader: Option<u64>,
        _flags: u32,
    ) -> io::Result<usize> {
        // Nobody reads: the kernel wants pages to keep, for sendfile(2) and splice(2), which bypass direct I/O. Of a kept page
        // they would show an old text, cut to the length of another. Their users read(2) then.
        reader.ok_or(Errno::INVAL)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        let written = self.reading(node, |reading, file| {
            let piece = reading.piece(file, handle, offset, size)?;
            answer.write_all(piece).map_err(|_| Errno::IO)?;
            Ok(piece.len())
        });
        Ok(written?)
    }

    fn release(
        &self,
        _: &Context,
        node: u64,
        _flags: u32,
        handle: u64,
        _flush: bool,
        _flock_release: bool,
        _lock_owner: Option<u64>,
    ) -> io::Result<()> {
        // Of a directory that is gone, nothing is kept.
        let _released = self.reading(node, |reading, _| {
            reading.handles.release(handle);
            Ok(())
        });
        Ok(())
    }

    /// Granted, and the kernel need not ask again, nor tell when it is closed: names do not change.
    fn opendir(&self, _: &Context, _node: u64, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        Err(Errno::NOSYS.into())
    }

    fn readdir(
        &self,
        _: &Context,
        node: u64,
        _handle: u64,
        _size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        // Until one does not fit.
        let _all = self.entries(node, offset)?.all(|(entry, _)| matches!(add_entry(entry), Ok(1..)));
        Ok(())
    }

    fn readdirplus(
        &self,
        _: &Context,
        node: u64,
        _handle: u64,
        _size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>, Entry) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut entries = self.entries(node, offset)?;
        let _all =
            entries.all(|(entry, attributes)| matches!(add_entry(entry, attributes.entry(FOREVER)), Ok(1..)));
        Ok(())
    }
}

/// The files of a directory.
fn files() -> impl Iterator<Item = ViewFile> {
    ViewFile::ALL.into_iter().filter(|file| !file.is_lasting())
}

/// The node of a file in its directory.
fn node_of(file: ViewFile) -> u64 {
    let position = ViewFile::ALL.iter().position(|known| *known == file).unwrap_or_default();
    u64::try_from(position).unwrap_or_default() + FIRST_FILE_NODE
}

/// The file that is this node of its directory.
fn file_of(node: u64) -> Option<ViewFile> {
    let position = usize::try_from(node.checked_sub(FIRST_FILE_NODE)?).ok()?;
    ViewFile::ALL.get(position).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_files_belong_together() {
        for file in ViewFile::ALL {
            assert_eq!(file_of(node_of(file)), Some(file));
        }
        assert_eq!(file_of(ITSELF), None);
        assert_eq!(file_of(99), None);
    }
}
