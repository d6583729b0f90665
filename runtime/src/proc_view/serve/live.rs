//! Files whose text is made for every reader: one directory, every `read(2)` from the start a new text.

use super::attributes::{Attributes, FOREVER, Kind, ROOT};
use super::handles::{Handles, Piece, part};
use crate::proc_view::{Texts, ViewFile};
use fuse_backend_rs::abi::fuse_abi::{FsOptions, OpenOptions, stat64};
use fuse_backend_rs::api::filesystem::{Context, DirEntry, Entry, FileSystem, ZeroCopyWriter};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size that every file is said to have. That of a text is known when it is made; with 0, as the kernel's own files below
/// `/proc` have, `sendfile(2)` would take the file for empty and not ask (busybox `cat` prints nothing then). sysfs says 4096
/// of all files. This is the largest that `tail` reads in one piece, so that it finds the end of shorter texts.
const SHOWN_BYTES: u64 = 8192;

/// The root has 1.
const FIRST_FILE_NODE: u64 = 2;

/// The directory and its open files.
#[derive(Debug)]
pub(super) struct LiveFiles<T> {
    /// When it was mounted.
    since: Duration,
    /// Of one thread; the trait is made for many.
    reading: Mutex<Reading<T>>,
}

#[derive(Debug)]
struct Reading<T> {
    handles: Handles,
    texts: T,
    text: Vec<u8>,
}

impl<T: Texts> LiveFiles<T> {
    pub(super) fn new(texts: T) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reading = Reading { handles: Handles::default(), texts, text: Vec::new() };
        Self { since: Duration::from_secs(since.as_secs()), reading: Mutex::new(reading) }
    }

    fn reading<R>(&self, step: impl FnOnce(&mut Reading<T>) -> R) -> R {
        step(&mut self.reading.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Names and attributes do not change.
    fn attributes(&self, file: Option<ViewFile>) -> Attributes {
        let (id, kind) = match file {
            Some(file) => (node_of(file), Kind::File { mode: file.mode(), size: SHOWN_BYTES }),
            None => (ROOT, Kind::Directory),
        };
        Attributes { id, kind, changed: self.since, valid: FOREVER }
    }

    /// The entries of the directory from an offset on.
    fn entries(&self, offset: u64) -> impl Iterator<Item = (DirEntry<'static>, Attributes)> {
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        files().zip(1..).skip(skipped).map(|(file, next_offset)| {
            let attributes = self.attributes(Some(file));
            let type_ = attributes.kind.entry_type();
            let name = file.name().as_bytes();
            (DirEntry { ino: attributes.id, offset: next_offset, type_, name }, attributes)
        })
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
        let file = files().find(|file| file.name().as_bytes() == name.to_bytes());
        let file = file.filter(|_| parent == ROOT).ok_or(Errno::NOENT)?;
        Ok(self.attributes(Some(file)).entry(FOREVER))
    }

    fn getattr(&self, _: &Context, node: u64, _handle: Option<u64>) -> io::Result<(stat64, Duration)> {
        Ok((self.attributes(file_of(node)).stat(), FOREVER))
    }

    /// Every `read(2)` is a request, so a descriptor that is read again from its start sees new numbers.
    fn open(
        &self,
        _: &Context,
        node: u64,
        _flags: u32,
        _fuse_flags: u32,
    ) -> io::Result<(Option<u64>, OpenOptions, Option<u32>)> {
        file_of(node).ok_or(Errno::ISDIR)?;
        Ok((Some(self.reading(|reading| reading.handles.open())), OpenOptions::DIRECT_IO, None))
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
        let file = file_of(node).ok_or(Errno::ISDIR)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        self.reading(|reading| {
            let piece = reading.piece(file, handle, offset, size)?;
            answer.write_all(piece)?;
            Ok(piece.len())
        })
    }

    fn release(
        &self,
        _: &Context,
        _node: u64,
        _flags: u32,
        handle: u64,
        _flush: bool,
        _flock_release: bool,
        _lock_owner: Option<u64>,
    ) -> io::Result<()> {
        self.reading(|reading| reading.handles.release(handle));
        Ok(())
    }

    /// Granted, and the kernel need not ask again, nor tell when it is closed: names do not change.
    fn opendir(&self, _: &Context, _node: u64, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        Err(Errno::NOSYS.into())
    }

    fn readdir(
        &self,
        _: &Context,
        _node: u64,
        _handle: u64,
        _size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        // Until one does not fit.
        let _all = self.entries(offset).all(|(entry, _)| matches!(add_entry(entry), Ok(1..)));
        Ok(())
    }

    fn readdirplus(
        &self,
        _: &Context,
        _node: u64,
        _handle: u64,
        _size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>, Entry) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut entries = self.entries(offset);
        let _all =
            entries.all(|(entry, attributes)| matches!(add_entry(entry, attributes.entry(FOREVER)), Ok(1..)));
        Ok(())
    }
}

/// The files of the directory.
fn files() -> impl Iterator<Item = ViewFile> {
    ViewFile::ALL.into_iter().filter(|file| !file.is_lasting())
}

/// The node id of a file.
fn node_of(file: ViewFile) -> u64 {
    let position = ViewFile::ALL.iter().position(|known| *known == file).unwrap_or_default();
    u64::try_from(position).unwrap_or_default() + FIRST_FILE_NODE
}

/// The file with this node id.
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
        assert_eq!(file_of(1), None);
        assert_eq!(file_of(99), None);
    }
}
