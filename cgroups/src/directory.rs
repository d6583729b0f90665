//! One directory of a cgroup file system by descriptor: every look-up is relative to it and cannot leave it.
//! Knows no controller and no file format.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Result};

/// Group and others may look, as with every directory that the kernel or systemd creates there.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);
const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A cgroup may be delegated to a container, so what is below it is not trusted: no link is followed, no other
/// mount is entered.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fd = retry_on_intr(|| rustix::fs::openat(CWD, path, DIRECTORY_FLAGS, Mode::empty()))
            .map_err(|errno| Error::call("open directory", path, errno))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.fd
    }

    /// The path it was opened by; for messages only, it may have become stale.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open_below(&self, relative: &str) -> Result<Self> {
        let path = self.path.join(relative);
        let fd = self
            .openat(relative, DIRECTORY_FLAGS)
            .map_err(|errno| Error::call("open directory", &path, errno))?;
        Ok(Self { fd, path })
    }

    /// Like [`Self::open_below`] for a name that was read from this directory.
    pub(crate) fn open_child(&self, name: &CStr) -> Result<Self> {
        let path = self.path.join(String::from_utf8_lossy(name.to_bytes()).as_ref());
        let fd =
            retry_on_intr(|| rustix::fs::openat2(&self.fd, name, DIRECTORY_FLAGS, Mode::empty(), RESOLVE))
                .map_err(|errno| Error::call("open directory", &path, errno))?;
        Ok(Self { fd, path })
    }

    /// The directory above. Only for a directory that was itself reached from there: this one step is not confined.
    pub(crate) fn open_parent(&self) -> Result<Self> {
        let path = self.path.parent().unwrap_or(&self.path).to_owned();
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, "..", DIRECTORY_FLAGS, Mode::empty()))
            .map_err(|errno| Error::call("open parent directory", &path, errno))?;
        Ok(Self { fd, path })
    }

    pub(crate) fn create_child(&self, name: &str) -> Result<()> {
        retry_on_intr(|| rustix::fs::mkdirat(&self.fd, name, DIRECTORY_MODE))
            .map_err(|errno| Error::call("mkdir", &self.path.join(name), errno))
    }

    pub(crate) fn remove_child(&self, name: &CStr) -> Result<()> {
        retry_on_intr(|| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)).map_err(|errno| {
            let name = String::from_utf8_lossy(name.to_bytes());
            Error::call("rmdir", &self.path.join(name.as_ref()), errno)
        })
    }

    /// The names of the child directories.
    pub(crate) fn children(&self) -> Result<Vec<CString>> {
        let mut names = Vec::new();
        self.each_entry(|name, kind| {
            if kind == FileType::Directory {
                names.push(name.to_owned());
            }
        })?;
        Ok(names)
    }

    /// The names of the files.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_entry(|name, kind| {
            if kind == FileType::RegularFile
                && let Ok(name) = name.to_str()
            {
                names.push(name.to_owned());
            }
        })?;
        Ok(names)
    }

    fn each_entry(&self, mut visit: impl FnMut(&CStr, FileType)) -> Result<()> {
        let failed = |errno| Error::call("list directory", &self.path, errno);
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                visit(name, entry.file_type());
            }
        }
        Ok(())
    }

    pub(crate) fn open_file(&self, file: &str) -> Result<OwnedFd> {
        self.openat(file, OFlags::RDONLY | OFlags::CLOEXEC)
            .map_err(|errno| Error::call("open", &self.path.join(file), errno))
    }

    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let fd = self.open_file(file)?;
        let mut content = Vec::new();
        read_whole(&fd, &mut content).map_err(|errno| Error::call("read", &self.path.join(file), errno))?;
        String::from_utf8(content).map_err(|error| {
            let content = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Error::format(&self.path.join(file), "text file", &content)
        })
    }

    pub(crate) fn open_file_for_writing(&self, file: &str) -> Result<OwnedFd> {
        self.openat(file, OFlags::WRONLY | OFlags::CLOEXEC)
            .map_err(|errno| Error::call("open for writing", &self.path.join(file), errno))
    }

    /// Writes `value` with one `write(2)`, as cgroup files want it.
    pub(crate) fn write(&self, file: &str, value: &str) -> Result<()> {
        let fd = self
            .openat(file, OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC)
            .map_err(|errno| Error::call("open for writing", &self.path.join(file), errno))?;
        let refused = |source| Error::Write { path: self.path.join(file), value: value.to_owned(), source };
        let written = retry_on_intr(|| rustix::io::write(&fd, value.as_bytes())).map_err(refused)?;
        // A cgroup file takes all or nothing; less means that this is not one.
        if written == value.len() { Ok(()) } else { Err(refused(Errno::IO)) }
    }

    fn openat(&self, relative: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        retry_on_intr(|| rustix::fs::openat2(&self.fd, relative, flags, Mode::empty(), RESOLVE))
    }
}

/// Reads a file from its start into `content`, which is cleared and whose capacity is reused.
pub(crate) fn read_whole(fd: impl AsFd, content: &mut Vec<u8>) -> rustix::io::Result<()> {
    content.clear();
    loop {
        if content.capacity() - content.len() < 512 {
            content.reserve(4096);
        }
        let offset = content.len() as u64;
        let count =
            retry_on_intr(|| rustix::io::pread(&fd, rustix::buffer::spare_capacity(content), offset))?;
        if count == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("file")).unwrap();
        let directory = Directory::open(root.path()).unwrap();
        assert_eq!(directory.open_below("link").unwrap_err().errno(), Some(Errno::LOOP));
        assert_eq!(directory.read("file").unwrap_err().errno(), Some(Errno::LOOP));
    }

    #[test]
    fn a_look_up_cannot_leave_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        assert_eq!(directory.open_below("..").unwrap_err().errno(), Some(Errno::XDEV));
        assert_eq!(directory.read("/etc/passwd").unwrap_err().errno(), Some(Errno::XDEV));
    }

    #[test]
    fn a_long_file_is_read_whole_and_its_children_are_told_from_files() {
        let root = tempfile::tempdir().unwrap();
        let long = "0123456789".repeat(3000);
        std::fs::write(root.path().join("long"), &long).unwrap();
        let directory = Directory::open(root.path()).unwrap();
        directory.create_child("child").unwrap();
        assert_eq!(directory.read("long").unwrap(), long);
        assert_eq!(directory.children().unwrap(), [c"child".to_owned()]);
        assert_eq!(directory.files().unwrap(), ["long"]);
        directory.remove_child(c"child").unwrap();
        assert_eq!(directory.open_below("child").unwrap_err().kind(), Kind::NotFound);
    }
}
