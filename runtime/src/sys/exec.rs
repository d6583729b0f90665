//! The last steps of a process that becomes the container's program.

use super::checked;
use rustix::fd::{AsRawFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;
use smallvec::SmallVec;
use std::ffi::{CStr, CString};

/// Pointers to strings, a null pointer last. As many as are usual are on the stack: of the allocator's memory, a process that was
/// just forked pays for each page that it touches.
type Pointers = SmallVec<[*const libc::c_char; 64]>;

/// Replaces the calling process's program. Returns only on failure.
pub(crate) fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let (mut argv, mut envp) = (Pointers::new(), Pointers::new());
    for (pointers, strings) in [(&mut argv, arguments), (&mut envp, environment)] {
        pointers.extend(strings.iter().map(|string| string.as_ptr()));
        pointers.push(std::ptr::null());
    }
    // SAFETY: both arrays end in a null pointer and their strings are borrowed for the whole call; the kernel copies
    // them before it replaces the address space.
    let result = unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    checked(result).err().unwrap_or(Errno::IO)
}

/// Marks every descriptor from `first` on close-on-exec, so that nothing of ours reaches the container's program.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: the call changes descriptor flags only; no descriptor is closed that somebody still owns.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    checked(result).map(drop)
}

/// Closes descriptors with as few calls as their numbers allow: those that were received together follow each other.
pub(crate) fn close_together(descriptors: impl IntoIterator<Item = OwnedFd>) {
    let mut descriptors: Vec<_> = descriptors.into_iter().collect();
    descriptors.sort_unstable_by_key(AsRawFd::as_raw_fd);
    let mut run = DescriptorRun::default();
    for descriptor in descriptors {
        run.push(descriptor);
    }
}

/// Descriptors that are not needed any more, closed with one call while their numbers follow each other, as those do that are
/// opened while none is closed. Keeps the first and the last number, and so takes no memory.
#[derive(Debug, Default)]
pub(crate) struct DescriptorRun(Option<(u32, u32)>);

impl DescriptorRun {
    /// So many wait at most: a process may not have many more.
    const LENGTH_MAX: u32 = 64;

    /// Takes one more; closes the others if its number does not follow theirs, or if they are many.
    pub(crate) fn push(&mut self, descriptor: OwnedFd) {
        let number = descriptor.into_raw_fd().unsigned_abs();
        match &mut self.0 {
            Some((first, last)) if *last + 1 == number && number - *first < Self::LENGTH_MAX => {
                *last = number
            }
            _ => {
                self.close();
                self.0 = Some((number, number));
            }
        }
    }

    /// Closes them all.
    pub(crate) fn close(&mut self) {
        if let Some((first, last)) = self.0.take() {
            // SAFETY: `push` took the descriptor of every number from the first to the last from its owner.
            unsafe { close_from_to(first, last) };
        }
    }
}

impl Drop for DescriptorRun {
    fn drop(&mut self) {
        self.close();
    }
}

/// # Safety
/// Every number from the first to the last is of an open descriptor that no one else will use or close.
unsafe fn close_from_to(first: u32, last: u32) {
    // SAFETY: by the contract.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if checked(result).is_err() {
        // SAFETY: by the contract, and none of them is closed yet.
        unsafe { close_each(first, last) };
    }
}

/// Where the kernel, or a filter around this process, has no `close_range(2)`.
///
/// # Safety
/// As of [`close_from_to`].
unsafe fn close_each(first: u32, last: u32) {
    for number in first..=last {
        // SAFETY: by the contract.
        unsafe { libc::syscall(libc::SYS_close, number) };
    }
}

/// Closes every descriptor of the calling process but the standard streams and `kept`. For a process that was just forked
/// and never returns to code that owns one of the closed ones.
pub(crate) fn close_all_but(kept: OwnedFd) -> OwnedFd {
    let number = kept.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, number.saturating_sub(1)), (number + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: the owners of these descriptors live in memory that this process has a copy of but, by the
            // contract above, never runs code of again, so nothing is closed twice or used after.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};

    /// Whether a pipe's writer has a reader.
    fn is_read(writer: &OwnedFd) -> bool {
        rustix::io::write(writer, b"x").is_ok()
    }

    #[test]
    fn without_close_range_each_is_closed() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let number = reader.into_raw_fd().unsigned_abs();
        // SAFETY: the reader was owned here until now.
        unsafe { close_each(number, number) };
        assert!(!is_read(&writer));
    }

    #[test]
    fn a_run_closes_what_it_was_given_and_nothing_between() {
        let (mut readers, writers): (Vec<_>, Vec<_>) =
            (0..100).map(|_| rustix::pipe::pipe().unwrap()).unzip();
        let kept: Vec<_> = [70, 33, 4].map(|index| readers.remove(index)).into();
        readers[10..20].reverse();
        let mut run = DescriptorRun::default();
        for reader in readers {
            run.push(reader);
        }
        run.close();
        run.close();
        for (index, writer) in writers.iter().enumerate() {
            assert_eq!(is_read(writer), [70, 33, 4].contains(&index), "pipe {index}");
        }
        assert!(kept.iter().all(|reader| fcntl_getfd(reader).is_ok()));
    }

    #[test]
    fn a_run_that_is_dropped_is_closed() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut run = DescriptorRun::default();
        run.push(reader);
        assert!(is_read(&writer));
        drop(run);
        assert!(!is_read(&writer));
    }

    #[test]
    fn what_is_closed_together_is_closed_and_nothing_between() {
        let pipes: Vec<_> = (0..20).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let (mut given, mut kept, mut writers) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (reader, writer)) in pipes.into_iter().enumerate() {
            if index % 5 == 2 {
                kept.push(reader)
            } else {
                given.push(reader)
            }
            writers.push(writer);
        }
        // Not in order, as descriptors that were lent in between are.
        given.reverse();
        close_together(given);
        for (index, writer) in writers.iter().enumerate() {
            assert_eq!(is_read(writer), index % 5 == 2, "pipe {index}");
        }
        assert!(kept.iter().all(|reader| fcntl_getfd(reader).is_ok_and(|flags| flags == FdFlags::empty())));
        close_together(Vec::new());
    }
}
