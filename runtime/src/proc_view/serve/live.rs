//! Files whose text is made for every reader: one directory, every `read(2)` from the start a new text.

use super::connection::FileTree;
use super::handles::{Handles, Piece, part};
use super::protocol::{self, Attributes, DirectoryEntry, Kind, Mode, Operation, Request};
use crate::proc_view::{Texts, ViewFile};
use rustix::io::Errno;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size that every file is said to have. That of a text is known when it is made; with 0, as the kernel's own files below
/// `/proc` have, `sendfile(2)` would take the file for empty and not ask (busybox `cat` prints nothing then). sysfs says 4096
/// of all files. This is the largest that `tail` reads in one piece, so that it finds the end of shorter texts.
const SHOWN_BYTES: u64 = 8192;

/// The root has 1.
const FIRST_FILE_NODE: u64 = 2;

/// The directory and its open files.
#[derive(Debug)]
pub(super) struct LiveFiles {
    handles: Handles,
    /// When it was mounted.
    since: Duration,
    text: Vec<u8>,
}

impl LiveFiles {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { handles: Handles::default(), since: Duration::from_secs(since.as_secs()), text: Vec::new() }
    }

    /// Names and attributes do not change.
    fn attributes(&self, file: Option<ViewFile>) -> Attributes {
        let (id, kind) = match file {
            Some(file) => (node_of(file), kind_of(file)),
            None => (protocol::ROOT, Kind::Directory),
        };
        Attributes { id, kind, changed: self.since, valid_s: protocol::FOREVER_S }
    }

    fn read(
        &mut self,
        (file, handle): (ViewFile, u64),
        offset: u64,
        size: u32,
        texts: &mut impl Texts,
        answer: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        if let Piece::Known(piece) = self.handles.piece(handle, offset, size) {
            answer.extend_from_slice(piece);
            return Ok(());
        }
        self.text.clear();
        texts.write(file, &mut self.text)?;
        self.handles.shown(handle, &self.text, offset, size);
        answer.extend_from_slice(part(&self.text, offset, size));
        Ok(())
    }
}

impl FileTree for LiveFiles {
    const MODE: Mode = Mode::Live;

    fn carry_out(
        &mut self,
        request: &Request<'_>,
        texts: &mut impl Texts,
        answer: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        match request.operation {
            Operation::Lookup { name } => {
                let file = files().find(|file| file.name().as_bytes() == name);
                let file = file.filter(|_| request.node == protocol::ROOT).ok_or(Errno::NOENT)?;
                protocol::put_entry(answer, &self.attributes(Some(file)), protocol::FOREVER_S);
            }
            Operation::GetAttributes => {
                protocol::put_attributes(answer, &self.attributes(file_of(request.node)));
            }
            Operation::Open => {
                file_of(request.node).ok_or(Errno::ISDIR)?;
                let flags = protocol::OPEN_DIRECT_IO | protocol::OPEN_NO_FLUSH;
                protocol::put_open(answer, self.handles.open(), flags);
            }
            // For sendfile(2) and splice(2), which bypass FOPEN_DIRECT_IO: of a kept page they would show an old text, cut
            // to the length of another. Their users read(2) then.
            Operation::Read { is_for_page_cache: true, .. } => return Err(Errno::INVAL),
            Operation::Read { handle, offset, size, .. } => {
                let file = file_of(request.node).ok_or(Errno::ISDIR)?;
                return self.read((file, handle), offset, size, texts, answer);
            }
            Operation::Release { handle } => self.handles.release(handle),
            Operation::ReadDirectory { offset, size } => {
                // Until one does not fit.
                let _all = entries(offset).all(|(_, entry)| entry.put(answer, size));
            }
            Operation::ReadDirectoryPlus { offset, size } => {
                let _all = entries(offset)
                    .all(|(file, entry)| entry.put_with_entry(answer, size, &self.attributes(Some(file))));
            }
            _ => return Err(Errno::NOSYS),
        }
        Ok(())
    }
}

/// The files of the directory.
fn files() -> impl Iterator<Item = ViewFile> {
    ViewFile::ALL.into_iter().filter(|file| !file.is_lasting())
}

/// The files from an offset on.
fn entries(offset: u64) -> impl Iterator<Item = (ViewFile, DirectoryEntry<'static>)> {
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    files().zip(1..).skip(skipped).map(|(file, next_offset)| {
        (file, DirectoryEntry { id: node_of(file), kind: kind_of(file), next_offset, name: file.name() })
    })
}

const fn kind_of(file: ViewFile) -> Kind {
    Kind::File { mode: file.mode(), size: SHOWN_BYTES }
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
