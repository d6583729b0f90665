//! The loop of one connection: receive a request, answer it, wait for the next or the end.

use super::handles::{Handles, Piece, file_of, node_of, part};
use super::protocol::{self, DirectoryEntry, Node, Operation, Request};
use super::{Texts, ViewFile};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::time::{SystemTime, UNIX_EPOCH};

/// `FUSE_MIN_READ_BUFFER`: with the least `max_write` no request is longer.
const REQUEST_BYTES: usize = 8192;

/// A read that takes longer than this ends the connection, where the kernel can do that: an error instead of a wait.
const TIMEOUT_S: u16 = 30;

pub(super) struct Connection<T> {
    fuse: OwnedFd,
    stopped: OwnedFd,
    texts: T,
    handles: Handles,
    /// When it was mounted, in seconds since 1970.
    since_s: u64,
    answer: Vec<u8>,
    text: Vec<u8>,
}

/// Why the loop ends.
enum End {
    /// The file system is mounted nowhere any more, or the server was dropped.
    Closed,
}

impl<T: Texts> Connection<T> {
    pub(super) fn new(fuse: OwnedFd, stopped: OwnedFd, texts: T) -> Self {
        let since_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self {
            fuse,
            stopped,
            texts,
            handles: Handles::default(),
            since_s,
            answer: Vec::new(),
            text: Vec::new(),
        }
    }

    pub(super) fn serve(&mut self) {
        let mut request = vec![0; REQUEST_BYTES];
        loop {
            match self.receive(&mut request) {
                Ok(length) => self.answer(request.get(..length).unwrap_or_default()),
                Err(End::Closed) => return,
            }
        }
    }

    fn receive(&self, request: &mut [u8]) -> Result<usize, End> {
        loop {
            match rustix::io::read(&self.fuse, &mut *request) {
                Ok(length) => return Ok(length),
                Err(Errno::AGAIN) => self.wait()?,
                // A request that was interrupted before it got here.
                Err(Errno::INTR | Errno::NOENT) => {}
                Err(_) => return Err(End::Closed),
            }
        }
    }

    fn wait(&self) -> Result<(), End> {
        let mut events = [PollFd::new(&self.fuse, PollFlags::IN), PollFd::new(&self.stopped, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) if events.last().is_some_and(|stopped| !stopped.revents().is_empty()) => Err(End::Closed),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(_) => Err(End::Closed),
        }
    }

    fn answer(&mut self, message: &[u8]) {
        // A message that cannot be cut apart has nobody to be answered.
        let Some(request) = Request::parse(message) else { return };
        if request.operation == Operation::Unanswered {
            return;
        }
        protocol::begin(&mut self.answer);
        match self.carry_out(&request) {
            Ok(()) => protocol::finish(&mut self.answer, request.unique),
            Err(errno) => protocol::refuse(&mut self.answer, request.unique, errno),
        }
        // ENOENT: the reader was killed meanwhile. Any other error shows at the next read.
        let _answered = rustix::io::write(&self.fuse, &self.answer);
    }

    fn carry_out(&mut self, request: &Request<'_>) -> Result<(), Errno> {
        let answer = &mut self.answer;
        match request.operation {
            Operation::Init { major, minor, flags, flags2 } => {
                if major > protocol::MAJOR {
                    protocol::put_init_version(answer);
                } else {
                    protocol::put_init(answer, minor, flags, flags2, TIMEOUT_S);
                }
            }
            Operation::Lookup { name } => {
                let file = ViewFile::ALL.into_iter().find(|file| file.name().as_bytes() == name);
                let file = file.filter(|_| request.node == protocol::ROOT).ok_or(Errno::NOENT)?;
                let node = Node::File { mode: file.mode() };
                protocol::put_entry(answer, node_of(file), node, self.since_s);
            }
            Operation::GetAttributes => {
                let node = match file_of(request.node) {
                    Some(file) => Node::File { mode: file.mode() },
                    None => Node::Directory,
                };
                protocol::put_attributes(answer, request.node, node, self.since_s);
            }
            Operation::Open => {
                file_of(request.node).ok_or(Errno::ISDIR)?;
                let flags = protocol::OPEN_DIRECT_IO | protocol::OPEN_NO_FLUSH;
                protocol::put_open(answer, self.handles.open(), flags);
            }
            Operation::Read { handle, offset, size } => return self.read(request.node, handle, offset, size),
            Operation::Release { handle } => self.handles.release(handle),
            Operation::StatFs => protocol::put_statfs(answer),
            Operation::OpenDirectory => protocol::put_open(answer, 0, 0),
            Operation::ReadDirectory { offset, size } => {
                // Until one does not fit.
                let _all = entries(offset).all(|(_, entry)| entry.put(answer, size));
            }
            Operation::ReadDirectoryPlus { offset, size } => {
                let since_s = self.since_s;
                let _all = entries(offset).all(|(file, entry)| {
                    entry.put_with_entry(answer, size, Node::File { mode: file.mode() }, since_s)
                });
            }
            Operation::ReleaseDirectory => {}
            Operation::Unanswered | Operation::Other => return Err(Errno::NOSYS),
        }
        Ok(())
    }

    fn read(&mut self, node: u64, handle: u64, offset: u64, size: u32) -> Result<(), Errno> {
        let file = file_of(node).ok_or(Errno::ISDIR)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        if let Piece::Known(piece) = self.handles.piece(handle, offset, size) {
            self.answer.extend_from_slice(piece);
            return Ok(());
        }
        self.text.clear();
        self.texts.write(file, &mut self.text)?;
        self.handles.shown(handle, &self.text, offset, size);
        self.answer.extend_from_slice(part(&self.text, offset, size));
        Ok(())
    }
}

/// The files of the directory from an offset on.
fn entries(offset: u64) -> impl Iterator<Item = (ViewFile, DirectoryEntry<'static>)> {
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let files = ViewFile::ALL.into_iter().zip(1..).skip(skipped);
    files.map(|(file, next_offset)| {
        (file, DirectoryEntry { id: node_of(file), next_offset, name: file.name() })
    })
}
