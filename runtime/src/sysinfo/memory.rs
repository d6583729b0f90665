//! The caller's memory, by `/proc/<pid>/mem`: a descriptor stays with the process that it was opened for, whatever becomes of
//! its number. `process_vm_writev(2)` takes a number, and could write into another process that has got it meanwhile.

use crate::sys::is_writable;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, pwrite};

/// A process's memory, open for writing.
#[derive(Debug)]
pub(super) struct CallersMemory {
    memory: OwnedFd,
    maps: OwnedFd,
}

impl CallersMemory {
    /// Opens that of a thread, or of whoever has its number by now: to be checked before anything is written.
    pub(super) fn open(procfs: BorrowedFd<'_>, thread: u32) -> Result<Self, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let open = |file: &str, flags: OFlags| {
            openat2(procfs, format!("{thread}/{file}"), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
        };
        Ok(Self { memory: open("mem", OFlags::WRONLY)?, maps: open("maps", OFlags::RDONLY)? })
    }

    /// Writes all of it, or fails where the kernel's own copy would; and where that would wait for `userfaultfd(2)`.
    ///
    /// The file ignores protections for debuggers' sake, so they are looked up (where the kernel is older than 6.11, a caller
    /// that passes memory which it may not write has its own private copy of that changed instead of the error).
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let address = untagged(address);
        let length = u64::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        let last = address.checked_add(length.saturating_sub(1)).ok_or(Errno::FAULT)?;
        // It is shorter than a page, so it lies in two mappings at most.
        let is_denied = |address| is_writable(self.maps.as_fd(), address) == Some(false);
        if is_denied(address) || is_denied(last) {
            return Err(Errno::FAULT);
        }
        match pwrite(&self.memory, bytes, address) {
            Ok(written) if written == bytes.len() => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }
}

/// Without the tag that aarch64 ignores in the uppermost byte of an address, which a file offset cannot have.
fn untagged(address: u64) -> u64 {
    const TAG: u64 = 0xff << 56;
    if cfg!(target_arch = "aarch64") { address & !TAG } else { address }
}
