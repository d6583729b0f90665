//! A cgroup and those above it: what bounds them bounds it. Files are handed out open, for those who read them often.
//! Knows no file's meaning.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::{Errno, retry_on_intr};

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::error::{Error, Result};

/// Room for nearly every file, so that one `pread` is enough.
const READ_BYTES: usize = 4096;

/// One directory of a cgroup's line of ancestors.
#[derive(Debug)]
pub struct Ancestor(Directory);

/// A file of a cgroup that is kept open.
///
/// It outlives the cgroup's processes and name. Once the cgroup is removed, reading fails with
/// [`Kind::NotFound`](crate::Kind::NotFound).
#[derive(Debug)]
pub struct CgroupFile {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for CgroupFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Cgroup {
    /// The cgroup itself, its parent, and so on to the root of the hierarchy.
    ///
    /// # Errors
    /// [`Error::Call`] when one of the directories cannot be opened.
    pub fn lineage(&self) -> Result<Vec<Ancestor>> {
        let root = self.hierarchy.root();
        let mut relative = self.path.relative();
        let mut lineage = Vec::new();
        while !relative.is_empty() {
            lineage.push(Ancestor(root.open_below(relative)?));
            relative = relative.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        lineage.push(Ancestor(root.open_below(".")?));
        Ok(lineage)
    }

    /// The cgroup above it, unless that is the root of the hierarchy, which bounds nothing.
    ///
    /// # Errors
    /// [`Error::Call`] when its directory cannot be opened.
    pub fn enclosing(&self) -> Result<Option<Ancestor>> {
        match self.path.relative().rsplit_once('/') {
            Some((parent, _)) => Ok(Some(Ancestor(self.hierarchy.root().open_below(parent)?))),
            None => Ok(None),
        }
    }
}

impl AsFd for Ancestor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Ancestor {
    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Opens a file for reading; `None` when this cgroup or kernel does not have it.
    ///
    /// # Errors
    /// [`Error::Call`] when it cannot be opened.
    pub fn file(&self, name: &str) -> Result<Option<CgroupFile>> {
        match self.0.open_file(name) {
            Ok(fd) => Ok(Some(CgroupFile { fd, path: self.0.path().join(name) })),
            Err(Error::Call { source: Errno::NOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl CgroupFile {
    /// Reads the whole file into `content`, which is cleared and whose capacity is reused. The kernel makes such a file
    /// in one piece, so a read that leaves room has reached its end.
    ///
    /// # Errors
    /// [`Error::Call`], and [`Error::Format`] when it is not text.
    pub fn read<'a>(&self, content: &'a mut Vec<u8>) -> Result<&'a str> {
        content.clear();
        content.reserve(READ_BYTES);
        loop {
            let room = content.capacity();
            let count =
                retry_on_intr(|| rustix::io::pread(&self.fd, rustix::buffer::spare_capacity(content), 0))
                    .map_err(|errno| Error::call("read", &self.path, errno))?;
            if count < room {
                break;
            }
            content.clear();
            content.reserve(room * 2);
        }
        std::str::from_utf8(content).map_err(|_| Error::format(&self.path, "text file", ""))
    }
}

#[cfg(test)]
mod tests {
    use crate::hierarchy::tests::stand_in;
    use crate::path::CgroupPath;

    #[test]
    fn a_lineage_goes_from_the_cgroup_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = stand_in(root.path(), "memory");
        std::fs::create_dir_all(root.path().join("pods/pod/box")).unwrap();
        for (path, bound) in [("pods/pod/box", "1"), ("pods/pod", "2"), ("pods", "3")] {
            std::fs::write(root.path().join(path).join("memory.max"), bound).unwrap();
        }
        let cgroup = hierarchy.find(&CgroupPath::parse("/pods/pod/box").unwrap()).unwrap();
        let files: Vec<_> =
            cgroup.lineage().unwrap().iter().map(|ancestor| ancestor.file("memory.max").unwrap()).collect();
        let mut content = Vec::new();
        let bounds: Vec<_> = files
            .iter()
            .map(|file| file.as_ref().map(|file| file.read(&mut content).unwrap().to_owned()))
            .collect();
        assert_eq!(bounds, [Some("1".into()), Some("2".into()), Some("3".into()), None], "the root has none");
    }

    #[test]
    fn a_file_longer_than_the_buffer_is_read_whole_and_anew_each_time() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = stand_in(root.path(), "");
        std::fs::create_dir(root.path().join("box")).unwrap();
        let path = root.path().join("box/long");
        let long = "0123456789".repeat(3000);
        std::fs::write(&path, &long).unwrap();
        let lineage = hierarchy.find(&CgroupPath::parse("/box").unwrap()).unwrap().lineage().unwrap();
        let file = lineage[0].file("long").unwrap().unwrap();
        let mut content = Vec::new();
        assert_eq!(file.read(&mut content).unwrap(), long);
        std::fs::write(&path, "short").unwrap();
        assert_eq!(file.read(&mut content).unwrap(), "short");
    }
}
