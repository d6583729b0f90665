//! One connection: receive a request, answer it.

use super::protocol::{self, Mode, Operation, Request};
use crate::proc_view::Texts;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::sync::Arc;

/// `FUSE_MIN_READ_BUFFER`: with the least `max_write` no request is longer.
const REQUEST_BYTES: usize = 8192;

/// A read that takes longer than this ends the connection, where the kernel can do that: an error instead of a wait.
const TIMEOUT_S: u16 = 30;

/// What is served on a connection.
pub(super) trait FileTree {
    /// How the kernel is to treat it.
    const MODE: Mode;

    /// Appends the answer to a request about a node.
    fn carry_out(
        &mut self,
        request: &Request<'_>,
        texts: &mut impl Texts,
        answer: &mut Vec<u8>,
    ) -> Result<(), Errno>;
}

/// Memory for one request and its answer, shared by all connections of a thread.
#[derive(Debug)]
pub(super) struct Buffers {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { request: vec![0; REQUEST_BYTES], answer: Vec::new() }
    }
}

/// The file system is mounted nowhere any more.
#[derive(Debug)]
pub(super) struct Unmounted;

#[derive(Debug)]
pub(super) struct Connection<F> {
    fuse: Arc<OwnedFd>,
    tree: F,
}

impl<F: FileTree> Connection<F> {
    pub(super) fn new(fuse: Arc<OwnedFd>, tree: F) -> Self {
        Self { fuse, tree }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fuse.as_fd()
    }

    /// Answers one request, if there is one.
    pub(super) fn serve_one(
        &mut self,
        buffers: &mut Buffers,
        texts: &mut impl Texts,
    ) -> Result<(), Unmounted> {
        match rustix::io::read(&*self.fuse, &mut *buffers.request) {
            Ok(length) => {
                let message = buffers.request.get(..length).unwrap_or_default();
                self.answer(message, &mut buffers.answer, texts);
                Ok(())
            }
            // None, or one that was interrupted before it got here.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => Ok(()),
            Err(_) => Err(Unmounted),
        }
    }

    fn answer(&mut self, message: &[u8], answer: &mut Vec<u8>, texts: &mut impl Texts) {
        // A message that cannot be cut apart has nobody to be answered.
        let Some(request) = Request::parse(message) else { return };
        if request.operation == Operation::Unanswered {
            return;
        }
        protocol::begin(answer);
        match self.carry_out(&request, texts, answer) {
            Ok(()) => protocol::finish(answer, request.unique),
            Err(errno) => protocol::refuse(answer, request.unique, errno),
        }
        // ENOENT: the reader was killed meanwhile. Any other error shows at the next read.
        let _answered = rustix::io::write(&*self.fuse, answer);
    }

    fn carry_out(
        &mut self,
        request: &Request<'_>,
        texts: &mut impl Texts,
        answer: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        match request.operation {
            Operation::Init { major, .. } if major > protocol::MAJOR => protocol::put_init_version(answer),
            Operation::Init { minor, flags, flags2, .. } => {
                protocol::put_init(answer, minor, (flags, flags2), F::MODE, TIMEOUT_S);
            }
            Operation::StatFs => protocol::put_statfs(answer),
            Operation::OpenDirectory => protocol::put_open(answer, 0, 0),
            Operation::ReleaseDirectory => {}
            Operation::Unanswered | Operation::Other => return Err(Errno::NOSYS),
            _ => return self.tree.carry_out(request, texts, answer),
        }
        Ok(())
    }
}
