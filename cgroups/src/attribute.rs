//! Extended attributes of a cgroup's directory: what Ballast remembers about it. There for every shim, outliving all of them,
//! and gone with the directory. Only the host's root can read or write those named `trusted.*`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Room for most values, in bytes, and for every value (`XATTR_SIZE_MAX`).
const ROOM: [usize; 2] = [4096, 65_536];

/// The text of an attribute; `None` when there is none, also where there cannot be any.
pub(crate) fn read_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str) -> Result<Option<String>> {
    let mut value = Vec::new();
    for room in ROOM {
        value.reserve(room);
        match fgetxattr(directory, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => break,
            Err(Errno::RANGE) if room < ROOM[1] => {}
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(Error::call("fgetxattr", path, errno)),
        }
    }
    let text = String::from_utf8(value);
    text.map(Some).map_err(|_| Error::format(path, "text in an attribute of Ballast", ""))
}

pub(crate) fn write_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str, value: &str) -> Result<()> {
    fsetxattr(directory, name, value.as_bytes(), XattrFlags::empty())
        .map_err(|errno| Error::call("fsetxattr", path, errno))
}

pub(crate) fn remove_attribute(directory: BorrowedFd<'_>, path: &Path, name: &str) -> Result<()> {
    match fremovexattr(directory, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::call("fremovexattr", path, errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::directory::Directory;

    #[test]
    fn a_long_text_is_read_whole_and_a_removed_one_is_none() {
        // As in a cgroup, an attribute there can be longer than a block.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let name = "trusted.ballast.test";
        let long = "x".repeat(ROOM[0] + 1);
        for text in ["short", &long] {
            write_attribute(directory.as_fd(), root.path(), name, text).unwrap();
            assert_eq!(read_attribute(directory.as_fd(), root.path(), name).unwrap().as_deref(), Some(text));
        }
        remove_attribute(directory.as_fd(), root.path(), name).unwrap();
        remove_attribute(directory.as_fd(), root.path(), name).unwrap();
        assert_eq!(read_attribute(directory.as_fd(), root.path(), name).unwrap(), None);
    }
}
