//! Our own executable as a descriptor that nobody can write through.
//!
//! A container process may reach `/proc/<pid>/exe` of the process that sets it up (CVE-2019-5736) and would find the
//! shim's binary behind it. The daemon therefore runs from a detached, read-only mount of that file: opening it for
//! writing fails with `EROFS` whatever the capabilities, and all shims still share one copy in the page cache.

use super::{MountAttributes, mount_setattr};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::io;
use std::path::Path;

/// A close-on-exec descriptor of this program's file on a read-only mount of its own, to be executed by
/// `/proc/self/fd/N`. Needs `CAP_SYS_ADMIN` and a kernel of 5.12 or newer.
///
/// # Errors
/// Whatever `open_tree(2)` or `mount_setattr(2)` refuse.
pub fn sealed() -> io::Result<OwnedFd> {
    read_only_view_of(Path::new("/proc/self/exe"))
}

fn read_only_view_of(file: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let view = open_tree(CWD, file, flags)?;
    mount_setattr(view.as_fd(), MountAttributes::READ_ONLY, None, false)?;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn nobody_can_write_through_the_view_of_a_file_that_is_writable_itself() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let view = read_only_view_of(file.path()).expect("needs root");
        let path = format!("/proc/self/fd/{}", view.as_raw_fd());
        let error = std::fs::OpenOptions::new().append(true).open(path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
        assert!(std::fs::OpenOptions::new().append(true).open(file.path()).is_ok());
    }
}
