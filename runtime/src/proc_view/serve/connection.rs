//! One connection: receive a request, have it answered.

use fuse_backend_rs::abi::fuse_abi::{InHeader, Opcode, OutHeader};
use fuse_backend_rs::api::filesystem::FileSystem;
use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::transport::{FuseBuf, FuseDevWriter, Reader};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::mem::offset_of;
use std::sync::Arc;

/// `FUSE_MIN_READ_BUFFER` of Linux `include/uapi/linux/fuse.h`: nothing is written here, so that no request is longer.
const REQUEST_BYTES: usize = 8192;

/// A reader can ask for a megabyte at once. Memory that no answer reached is not there, as long as the allocator takes it from the
/// kernel anew (`sys::keep_large_allocations_apart`).
const ANSWER_BYTES: usize = (1 << 20) + 4096;

/// Memory for one request and its answer, shared by all connections of a thread.
#[derive(Debug)]
pub(super) struct Buffers {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { request: vec![0; REQUEST_BYTES], answer: vec![0; ANSWER_BYTES] }
    }
}

/// The file system is mounted nowhere any more.
#[derive(Debug)]
pub(super) struct Unmounted;

/// What came of looking for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// There was none.
    Nothing,
    /// One was answered, and whoever asked will ask for more at once: the file is open now, or there was text to read.
    InTheMiddle,
    /// One was answered.
    ToTheEnd,
}

pub(super) struct Connection<F: FileSystem + Sync> {
    fuse: Arc<OwnedFd>,
    server: Server<F>,
}

impl<F: FileSystem + Sync> Connection<F> {
    pub(super) fn new(fuse: Arc<OwnedFd>, files: F) -> Self {
        Self { fuse, server: Server::new(files) }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fuse.as_fd()
    }

    /// Answers one request, if there is one.
    pub(super) fn serve_one(&self, buffers: &mut Buffers) -> Result<Served, Unmounted> {
        let length = match rustix::io::read(&*self.fuse, &mut *buffers.request) {
            Ok(length) => length,
            // None, or one that was interrupted before it got here.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => return Ok(Served::Nothing),
            Err(_) => return Err(Unmounted),
        };
        let message = buffers.request.get_mut(..length).unwrap_or_default();
        let series = is_of_a_series(message);
        let request = Reader::<()>::from_fuse_buffer(FuseBuf::new(message));
        let answer = FuseDevWriter::<()>::new(self.fuse.as_raw_fd(), &mut buffers.answer);
        let (Ok(request), Ok(answer)) = (request, answer) else { return Ok(Served::ToTheEnd) };
        // An error is of a reader who was killed meanwhile, or of the connection, which shows at the next read.
        let answered = self.server.handle_message(request, answer.into(), None, None);
        let has_content = answered.is_ok_and(|length| length > size_of::<OutHeader>());
        Ok(if series && has_content { Served::InTheMiddle } else { Served::ToTheEnd })
    }
}

/// Whether a request is one of those that a reader makes one after the other.
fn is_of_a_series(message: &[u8]) -> bool {
    let opcode = message.get(offset_of!(InHeader, opcode)..).and_then(|rest| rest.first_chunk());
    let opcode = opcode.map(|bytes| u32::from_ne_bytes(*bytes));
    [Opcode::Open, Opcode::Read].into_iter().any(|known| opcode == Some(known as u32))
}
