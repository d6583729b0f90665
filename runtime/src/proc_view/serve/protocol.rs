//! The messages of `/dev/fuse` that a directory of read-only files needs (Linux `include/uapi/linux/fuse.h`, version 7.40):
//! requests are cut out of a buffer, answers appended to one. Must not know files.

use std::time::Duration;

/// The major version of the protocol.
pub(super) const MAJOR: u32 = 7;
/// The last minor version whose additions are known here.
pub(super) const MINOR: u32 = 40;

/// `FUSE_ROOT_ID`
pub(super) const ROOT: u64 = 1;

const IN_HEADER_BYTES: usize = 40;
pub(super) const OUT_HEADER_BYTES: usize = 16;

/// `FUSE_DO_READDIRPLUS`: listing the directory looks all its files up at once.
const READDIR_PLUS: u32 = 1 << 13;
/// `FUSE_READ_LOCKOWNER`: the kernel says who reads when somebody does, and not when it fills its page cache.
const READ_LOCKOWNER: u32 = 2;
/// `FUSE_AUTO_INVAL_DATA`: kept pages are dropped when attributes that were asked for again have another time or size.
const AUTO_INVALIDATE: u32 = 1 << 12;
/// `FUSE_INIT_EXT`: `flags2` and what comes after it count.
const INIT_EXT: u32 = 1 << 30;
/// `FUSE_REQUEST_TIMEOUT`, bit 42, in `flags2` (since Linux 6.15).
const REQUEST_TIMEOUT: u32 = 1 << (42 - 32);

/// `FOPEN_DIRECT_IO`: every `read(2)` is a request, so a descriptor that is read again from its start sees new numbers.
pub(super) const OPEN_DIRECT_IO: u32 = 1 << 0;
/// `FOPEN_NOFLUSH`: `close(2)` does not wait for an answer (since Linux 5.16).
pub(super) const OPEN_NO_FLUSH: u32 = 1 << 5;

/// As good as for ever.
pub(super) const FOREVER_S: u64 = 1 << 30;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// What the kernel asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// The first message.
    Init {
        major: u32,
        minor: u32,
        flags: u32,
        flags2: u32,
    },
    Lookup {
        name: &'a [u8],
    },
    GetAttributes,
    Open,
    Read {
        handle: u64,
        offset: u64,
        size: u32,
        /// Nobody reads: the kernel wants pages to keep, as for `sendfile(2)`.
        is_for_page_cache: bool,
    },
    Release {
        handle: u64,
    },
    /// Sizes of the file system.
    StatFs,
    OpenDirectory,
    ReadDirectory {
        offset: u64,
        size: u32,
    },
    /// As [`Self::ReadDirectory`], with what a look-up of each entry would answer.
    ReadDirectoryPlus {
        offset: u64,
        size: u32,
    },
    ReleaseDirectory,
    /// A message that has no answer.
    Unanswered,
    /// Anything else.
    Other,
}

/// One message from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) operation: Operation<'a>,
}

impl<'a> Request<'a> {
    /// Cuts a message apart; `None` when it is shorter than it says.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let (header, body) = message.split_at_checked(IN_HEADER_BYTES)?;
        let opcode = u32_at(header, 4)?;
        Some(Self {
            unique: u64_at(header, 8)?,
            node: u64_at(header, 16)?,
            operation: Operation::parse(opcode, body)?,
        })
    }
}

impl<'a> Operation<'a> {
    fn parse(opcode: u32, body: &'a [u8]) -> Option<Self> {
        Some(match opcode {
            1 => Self::Lookup { name: body.split(|byte| *byte == 0).next()? },
            3 => Self::GetAttributes,
            14 => Self::Open,
            15 => Self::Read {
                handle: u64_at(body, 0)?,
                offset: u64_at(body, 8)?,
                size: u32_at(body, 16)?,
                is_for_page_cache: u32_at(body, 20)? & READ_LOCKOWNER == 0,
            },
            17 => Self::StatFs,
            18 => Self::Release { handle: u64_at(body, 0)? },
            26 => Self::Init {
                major: u32_at(body, 0)?,
                minor: u32_at(body, 4)?,
                flags: u32_at(body, 12).unwrap_or_default(),
                flags2: u32_at(body, 16).unwrap_or_default(),
            },
            27 => Self::OpenDirectory,
            28 => Self::ReadDirectory { offset: u64_at(body, 8)?, size: u32_at(body, 16)? },
            29 => Self::ReleaseDirectory,
            44 => Self::ReadDirectoryPlus { offset: u64_at(body, 8)?, size: u32_at(body, 16)? },
            // FORGET, INTERRUPT (an answer is on its way in any case), DESTROY's answer nobody waits for, BATCH_FORGET
            2 | 36 | 38 | 42 => Self::Unanswered,
            _ => Self::Other,
        })
    }
}

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
    const fn type_bits(self) -> u32 {
        match self {
            Self::Directory => S_IFDIR,
            Self::File { .. } => S_IFREG,
        }
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
    pub(super) valid_s: u64,
}

/// What a connection is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Listing the directory looks all its files up at once. Nothing is kept.
    Live,
    /// The kernel keeps contents until their attributes change.
    Lasting,
}

impl Mode {
    const fn flags(self) -> u32 {
        match self {
            Self::Live => READDIR_PLUS,
            Self::Lasting => AUTO_INVALIDATE,
        }
    }

    /// What is kept is asked for in one piece, so that it is of one moment.
    const fn readahead_bytes(self) -> u32 {
        match self {
            Self::Live => 0,
            Self::Lasting => 128 << 10,
        }
    }
}

/// Begins an answer: the header, to be completed by [`finish`].
pub(super) fn begin(answer: &mut Vec<u8>) {
    answer.clear();
    answer.resize(OUT_HEADER_BYTES, 0);
}

/// Completes an answer with its length and what it answers.
pub(super) fn finish(answer: &mut [u8], unique: u64) {
    let length = u32::try_from(answer.len()).unwrap_or(u32::MAX);
    put_header(answer, length, 0, unique);
}

/// An answer that is an error, `errno` positive.
pub(super) fn refuse(answer: &mut Vec<u8>, unique: u64, errno: rustix::io::Errno) {
    begin(answer);
    put_header(answer, 16, errno.raw_os_error().wrapping_neg(), unique);
}

fn put_header(answer: &mut [u8], length: u32, error: i32, unique: u64) {
    let header = length.to_ne_bytes().into_iter().chain(error.to_ne_bytes()).chain(unique.to_ne_bytes());
    for (place, byte) in answer.iter_mut().zip(header) {
        *place = byte;
    }
}

/// `fuse_init_out`. A request that is not answered in time ends the connection, where the kernel can do that.
pub(super) fn put_init(answer: &mut Vec<u8>, minor: u32, offered: (u32, u32), mode: Mode, timeout_s: u16) {
    let (flags, flags2) = offered;
    let wanted = flags & mode.flags();
    let (flags, flags2, timeout_s) = if flags & INIT_EXT != 0 && flags2 & REQUEST_TIMEOUT != 0 {
        (wanted | INIT_EXT, REQUEST_TIMEOUT, timeout_s)
    } else {
        (wanted, 0, 0)
    };
    let mut put = Put(answer);
    // Version, max_readahead, flags.
    put.u32(MAJOR).u32(minor.min(MINOR)).u32(mode.readahead_bytes()).u32(flags);
    // max_background, congestion_threshold, max_write (the least there is: nothing is written), time_gran.
    put.u16(16).u16(12).u32(4096).u32(1);
    // max_pages, map_alignment, flags2, max_stack_depth, request_timeout, unused.
    put.u16(0).u16(0).u32(flags2).u32(0).u16(timeout_s).zeros(22);
}

/// `fuse_init_out` of a kernel that speaks a later major version: it asks again.
pub(super) fn put_init_version(answer: &mut Vec<u8>) {
    Put(answer).u32(MAJOR).u32(MINOR).zeros(56);
}

/// `fuse_entry_out`; the name is believed for `valid_s`.
pub(super) fn put_entry(answer: &mut Vec<u8>, node: &Attributes, valid_s: u64) {
    Put(answer).u64(node.id).u64(0).u64(valid_s).u64(node.valid_s).u32(0).u32(0).attributes(node);
}

/// `fuse_attr_out`
pub(super) fn put_attributes(answer: &mut Vec<u8>, node: &Attributes) {
    Put(answer).u64(node.valid_s).u32(0).u32(0).attributes(node);
}

/// The whole message `FUSE_NOTIFY_INVAL_INODE`: attributes and content of a node are to be asked for again.
pub(super) fn invalidation(id: u64) -> Vec<u8> {
    let mut message = Vec::new();
    // Length, code, no request; node, from the start, to the end.
    Put(&mut message).u32(40).u32(2).u64(0).u64(id).u64(0).u64(0);
    message
}

/// `fuse_open_out`
pub(super) fn put_open(answer: &mut Vec<u8>, handle: u64, flags: u32) {
    Put(answer).u64(handle).u32(flags).u32(0);
}

/// `fuse_statfs_out`: nothing of anything, names as long as anywhere.
pub(super) fn put_statfs(answer: &mut Vec<u8>) {
    Put(answer).zeros(40).u32(4096).u32(255).u32(4096).zeros(28);
}

/// One name of a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryEntry<'a> {
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Where to go on after it.
    pub(super) next_offset: u64,
    pub(super) name: &'a str,
}

impl DirectoryEntry<'_> {
    /// `fuse_dirent`, if it fits into `limit` bytes of entries; returns whether it did.
    pub(super) fn put(&self, answer: &mut Vec<u8>, limit: u32) -> bool {
        if !self.fits(answer, limit, 0) {
            return false;
        }
        let length = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        let padding = self.padded_bytes() - DIRENT_BYTES - self.name.len();
        let mut put = Put(answer);
        put.u64(self.id).u64(self.next_offset).u32(length).u32(self.kind.type_bits() >> 12);
        put.bytes(self.name.as_bytes()).zeros(padding);
        true
    }

    /// `fuse_direntplus`, likewise.
    pub(super) fn put_with_entry(&self, answer: &mut Vec<u8>, limit: u32, node: &Attributes) -> bool {
        if !self.fits(answer, limit, ENTRY_BYTES) {
            return false;
        }
        put_entry(answer, node, FOREVER_S);
        self.put(answer, limit)
    }

    fn fits(&self, answer: &[u8], limit: u32, further_bytes: usize) -> bool {
        let used = answer.len() - OUT_HEADER_BYTES;
        used + further_bytes + self.padded_bytes() <= usize::try_from(limit).unwrap_or(usize::MAX)
    }

    fn padded_bytes(&self) -> usize {
        (DIRENT_BYTES + self.name.len()).next_multiple_of(8)
    }
}

/// `fuse_dirent` without its name.
const DIRENT_BYTES: usize = 24;
/// `fuse_entry_out`
const ENTRY_BYTES: usize = 128;

struct Put<'a>(&'a mut Vec<u8>);

impl Put<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.bytes(&number.to_ne_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_ne_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_ne_bytes())
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// `fuse_attr`
    fn attributes(&mut self, node: &Attributes) -> &mut Self {
        let (permissions, size, links) = match node.kind {
            Kind::Directory => (0o555, 0, 2),
            Kind::File { mode, size } => (mode, size, 1),
        };
        let (seconds, nanoseconds) = (node.changed.as_secs(), node.changed.subsec_nanos());
        // ino, size, blocks; times; their nanoseconds; mode, nlink; uid, gid, rdev; blksize, flags.
        self.u64(node.id).u64(size).u64(size.div_ceil(512));
        self.u64(seconds).u64(seconds).u64(seconds).u32(nanoseconds).u32(nanoseconds).u32(nanoseconds);
        self.u32(node.kind.type_bits() | permissions).u32(links).zeros(12).u32(1024).u32(0)
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(opcode: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Put(&mut bytes).u32(0).u32(opcode).u64(77).u64(5).zeros(16).bytes(body);
        bytes
    }

    #[test]
    fn a_read_is_cut_apart() {
        let mut body = Vec::new();
        Put(&mut body).u64(9).u64(4096).u32(131_072).zeros(20);
        let message = message(15, &body);
        let request = Request::parse(&message).unwrap();
        assert_eq!((request.unique, request.node), (77, 5));
        assert_eq!(
            request.operation,
            Operation::Read { handle: 9, offset: 4096, size: 131_072, is_for_page_cache: true }
        );
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        let message = message(1, b"meminfo\0");
        assert_eq!(Request::parse(&message).unwrap().operation, Operation::Lookup { name: b"meminfo" });
    }

    #[test]
    fn what_is_too_short_or_unknown_does_no_harm() {
        assert_eq!(Request::parse(&[0; 39]), None);
        assert_eq!(Request::parse(&message(15, &[0; 12])), None);
        assert_eq!(Request::parse(&message(4711, &[])).unwrap().operation, Operation::Other);
        assert_eq!(Request::parse(&message(2, &[])).unwrap().operation, Operation::Unanswered);
    }

    #[test]
    fn answers_have_the_kernels_sizes() {
        let size = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut answer = Vec::new();
            begin(&mut answer);
            put(&mut answer);
            finish(&mut answer, 1);
            assert_eq!(u32_at(&answer, 0).map(|length| length as usize), Some(answer.len()));
            answer.len() - OUT_HEADER_BYTES
        };
        let kind = Kind::File { mode: 0o444, size: 5 };
        let node = Attributes { id: 2, kind, changed: Duration::from_millis(1500), valid_s: 1 };
        assert_eq!(invalidation(2).len(), 40);
        assert_eq!(size(&|answer| put_init(answer, 44, (u32::MAX, u32::MAX), Mode::Live, 9)), 64);
        assert_eq!(size(&put_init_version), 64);
        assert_eq!(size(&|answer| put_entry(answer, &node, 1)), 128);
        assert_eq!(size(&|answer| put_attributes(answer, &node)), 104);
        assert_eq!(size(&|answer| put_open(answer, 2, 0)), 16);
        assert_eq!(size(&put_statfs), 80);
        let entry = DirectoryEntry { id: 2, kind, next_offset: 1, name: "meminfo" };
        assert_eq!(size(&|answer| assert!(entry.put(answer, 32))), 32);
        assert_eq!(size(&|answer| assert!(!entry.put(answer, 31))), 0);
        assert_eq!(size(&|answer| assert!(entry.put_with_entry(answer, 160, &node))), 160);
        assert_eq!(size(&|answer| assert!(!entry.put_with_entry(answer, 159, &node))), 0);
    }

    #[test]
    fn an_error_is_negative() {
        let mut answer = Vec::new();
        refuse(&mut answer, 3, rustix::io::Errno::NOENT);
        assert_eq!(answer.len(), OUT_HEADER_BYTES);
        assert_eq!(u32_at(&answer, 4), Some((-2i32).cast_unsigned()));
    }
}
