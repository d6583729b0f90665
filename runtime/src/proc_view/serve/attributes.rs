//! What the kernel is told about a file or directory.

use fuse_backend_rs::abi::fuse_abi::{Attr, stat64};
use fuse_backend_rs::api::filesystem::Entry;
use std::time::Duration;

/// As good as for ever.
pub(super) const FOREVER: Duration = Duration::from_secs(1 << 30);

/// `FUSE_ROOT_ID`
pub(super) const ROOT: u64 = 1;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// Permission bits; the size in bytes, which only matters where the kernel keeps the content.
    File {
        mode: u32,
        size: u64,
    },
}

impl Kind {
    /// For an entry of a directory.
    pub(super) fn entry_type(self) -> u32 {
        u32::from(match self {
            Self::Directory => libc::DT_DIR,
            Self::File { .. } => libc::DT_REG,
        })
    }
}

/// What a file or directory looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Since 1970.
    pub(super) changed: Duration,
    /// For how long the kernel may believe them.
    pub(super) valid: Duration,
}

impl Attributes {
    /// Of a directory whose name and attributes stay.
    pub(super) fn of_directory(id: u64, changed: Duration) -> Self {
        Self { id, kind: Kind::Directory, changed, valid: FOREVER }
    }

    /// The answer to a look-up; the name is believed for `name_valid`.
    pub(super) fn entry(&self, name_valid: Duration) -> Entry {
        Entry {
            inode: self.id,
            generation: 0,
            attr: self.stat(),
            attr_flags: 0,
            attr_timeout: self.valid,
            entry_timeout: name_valid,
        }
    }

    pub(super) fn stat(&self) -> stat64 {
        let (mode, size, nlink) = match self.kind {
            Kind::Directory => (libc::S_IFDIR | 0o555, 0, 2),
            Kind::File { mode, size } => (libc::S_IFREG | mode, size, 1),
        };
        let (seconds, nanoseconds) = (self.changed.as_secs(), self.changed.subsec_nanos());
        Attr {
            ino: self.id,
            size,
            blocks: size.div_ceil(512),
            atime: seconds,
            mtime: seconds,
            ctime: seconds,
            atimensec: nanoseconds,
            mtimensec: nanoseconds,
            ctimensec: nanoseconds,
            mode,
            nlink,
            blksize: 1024,
            ..Attr::default()
        }
        .into()
    }
}
