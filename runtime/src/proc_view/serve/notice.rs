//! What the kernel is told without having asked.

use super::attributes::ROOT;
use fuse_backend_rs::api::filesystem::FileSystem;
use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::transport::FuseDevWriter;
use rustix::fd::{AsRawFd, OwnedFd};
use std::ffi::CStr;
use std::sync::Arc;

/// The greatest notices are `fuse_out_header` with `fuse_notify_inval_inode_out`, or with `fuse_notify_inval_entry_out` and a name
/// that is a number.
const NOTICE_BYTES: usize = 64;

/// A connection on which notices are sent.
pub(super) struct Notices {
    fuse: Arc<OwnedFd>,
    server: Server<NoFiles>,
}

/// Notices are sent by a server; this one is never asked.
struct NoFiles;

impl FileSystem for NoFiles {
    type Inode = u64;
    type Handle = u64;
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Notices").field("fuse", &self.fuse).finish_non_exhaustive()
    }
}

impl Notices {
    pub(super) fn new(fuse: Arc<OwnedFd>) -> Self {
        Self { fuse, server: Server::new(NoFiles) }
    }

    /// Has the kernel forget a name in the root, and what it knows below it.
    pub(super) fn forget(&self, name: &CStr) {
        let mut notice = [0; NOTICE_BYTES];
        if let Ok(writer) = FuseDevWriter::<()>::new(self.fuse.as_raw_fd(), &mut notice) {
            // Fails when nobody has looked it up.
            let _forgotten = self.server.notify_inval_entry(writer, ROOT, name);
        }
    }

    /// Has the kernel drop what it keeps of a node, and ask again.
    pub(super) fn invalidate(&self, node: u64) {
        let mut notice = [0; NOTICE_BYTES];
        if let Ok(writer) = FuseDevWriter::<()>::new(self.fuse.as_raw_fd(), &mut notice) {
            // From the start to the end. Fails when nobody has looked at it.
            let _dropped = self.server.notify_inval_inode(writer, node, 0, 0);
        }
    }
}
