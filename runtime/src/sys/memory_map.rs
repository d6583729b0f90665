//! `PROCMAP_QUERY` on `/proc/<pid>/maps` (Linux 6.11): one mapping of a process's, without the text.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// `struct procmap_query` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    mapping_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device_major: u32,
    device_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_address: u64,
    build_id_address: u64,
}

const PROCMAP_QUERY: u32 = rustix::ioctl::opcode::read_write::<Query>(b'f', 17);
const PROCMAP_QUERY_VMA_WRITABLE: u64 = 2;

/// Whether the process may write at an address; `None` when the kernel cannot tell.
pub(crate) fn is_writable(maps: BorrowedFd<'_>, address: u64) -> Option<bool> {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        flags: PROCMAP_QUERY_VMA_WRITABLE,
        address,
        ..Query::default()
    };
    // SAFETY: the structure is a live local of the size that it states; neither name nor build id is asked for, so the
    // kernel writes nowhere else.
    let result = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY.into(), &raw mut query) };
    match checked(result.into()) {
        Ok(_) => Some(true),
        Err(Errno::NOENT) => Some(false),
        Err(_) => None,
    }
}
