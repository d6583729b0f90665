//! One connection: receive a request, have it answered.

use super::notice::Notices;
use fuse_backend_rs::api::filesystem::FileSystem;
use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::transport::{FuseBuf, FuseDevWriter, Reader};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
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

    /// What tells the kernel about the files without having been asked.
    pub(super) fn notices(&self) -> Notices {
        Notices::new(Arc::clone(&self.fuse))
    }

    /// Answers one request, if there is one.
    pub(super) fn serve_one(&self, buffers: &mut Buffers) -> Result<(), Unmounted> {
        let length = match rustix::io::read(&*self.fuse, &mut *buffers.request) {
            Ok(length) => length,
            // None, or one that was interrupted before it got here.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => return Ok(()),
            Err(_) => return Err(Unmounted),
        };
        let message = buffers.request.get_mut(..length).unwrap_or_default();
        let request = Reader::<()>::from_fuse_buffer(FuseBuf::new(message));
        let answer = FuseDevWriter::<()>::new(self.fuse.as_raw_fd(), &mut buffers.answer);
        if let (Ok(request), Ok(answer)) = (request, answer) {
            // An error is of a reader who was killed meanwhile, or of the connection, which shows at the next read.
            let _answered = self.server.handle_message(request, answer.into(), None, None);
        }
        Ok(())
    }
}
