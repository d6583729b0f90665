//! The mounted cgroup v2 hierarchy: found once, then held by descriptor.
//! Knows no container; places in it are [`CgroupPath`](crate::CgroupPath)s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::CWD;

use crate::controllers::Controllers;
use crate::directory::Directory;
use crate::error::{Error, Result};

/// `CGROUP2_SUPER_MAGIC`, from `linux/magic.h`.
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The cgroup v2 hierarchy of this node, opened once; cloning shares the descriptor.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    root: Arc<Directory>,
    /// What the root offers; a controller that a v1 hierarchy holds is not among them.
    controllers: Arc<Controllers>,
}

impl Hierarchy {
    /// Finds the cgroup2 mount of this process: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on a hybrid node.
    ///
    /// # Errors
    /// [`Error::NoHierarchy`] when none is mounted, [`Error::Call`] when it cannot be opened or read.
    pub fn discover() -> Result<Self> {
        let mountinfo = Path::new("/proc/self/mountinfo");
        let content = rustix::fs::openat(
            CWD,
            mountinfo,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .and_then(|fd| {
            let mut content = Vec::new();
            crate::directory::read_whole(&fd, &mut content)?;
            Ok(content)
        })
        .map_err(|errno| Error::call("read", mountinfo, errno))?;
        let mount_point = find_mount_point(&String::from_utf8_lossy(&content)).ok_or(Error::NoHierarchy)?;
        Self::open(&mount_point)
    }

    /// Opens the hierarchy at a known mount point.
    ///
    /// # Errors
    /// [`Error::NoHierarchy`] when the directory is not one of a cgroup2 file system, [`Error::Call`] when it
    /// cannot be opened or read.
    pub fn open(mount_point: &Path) -> Result<Self> {
        let root = Directory::open(mount_point)?;
        let file_system =
            rustix::fs::fstatfs(&root).map_err(|errno| Error::call("fstatfs", mount_point, errno))?;
        if u64::try_from(file_system.f_type) != Ok(CGROUP2_SUPER_MAGIC) {
            return Err(Error::NoHierarchy);
        }
        Self::with_root(root)
    }

    fn with_root(root: Directory) -> Result<Self> {
        let controllers = Controllers::parse(&root.read("cgroup.controllers")?);
        Ok(Self { root: Arc::new(root), controllers: Arc::new(controllers) })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        self.root.path()
    }

    /// The controllers that the root of the hierarchy has.
    #[must_use]
    pub fn controllers(&self) -> &Controllers {
        &self.controllers
    }

    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }
}

/// Takes the last cgroup2 mount whose root is shown, the one that is on top when several share a mount point.
/// Form of the lines: proc(5), `/proc/pid/mountinfo`.
fn find_mount_point(mountinfo: &str) -> Option<PathBuf> {
    let mut found: Option<PathBuf> = None;
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        if file_system.split(' ').next() != Some("cgroup2") {
            continue;
        }
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(mount_point)) = (fields.next(), fields.next()) else { continue };
        let mount_point = PathBuf::from(unescape(mount_point));
        // A bind mount of one cgroup is not the hierarchy; a second full mount elsewhere is, but the first
        // is the one that the rest of the node uses.
        if root == "/" && found.as_ref().is_none_or(|earlier| *earlier == mount_point) {
            found = Some(mount_point);
        }
    }
    found
}

/// The kernel writes space, tab, line feed and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A hierarchy of ordinary files, for what only depends on their content.
    pub(crate) fn stand_in(root: &Path, controllers: &str) -> Hierarchy {
        std::fs::write(root.join("cgroup.controllers"), format!("{controllers}\n")).unwrap();
        Hierarchy::with_root(Directory::open(root).unwrap()).unwrap()
    }

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
39 30 0:35 / /sys/fs/cgroup/unified rw,relatime shared:10 master:1 - cgroup2 cgroup2 rw
";

    #[test]
    fn the_cgroup2_mount_of_a_hybrid_node_is_found() {
        assert_eq!(find_mount_point(HYBRID), Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn a_bind_mount_of_one_cgroup_is_not_the_hierarchy() {
        let mounts = "\
40 24 0:35 /pods/x /mnt rw - cgroup2 cgroup2 rw
41 24 0:35 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate
42 24 0:35 / /run/other rw - cgroup2 cgroup2 rw
";
        assert_eq!(find_mount_point(mounts), Some("/sys/fs/cgroup".into()));
        assert_eq!(find_mount_point("24 1 0:1 / / rw - ext4 /dev/sda rw\n"), None);
    }

    #[test]
    fn octal_escapes_in_a_mount_point_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\9"), r"/a\9");
    }

    #[test]
    fn a_directory_of_another_file_system_is_refused() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Hierarchy::open(root.path()), Err(Error::NoHierarchy)));
    }
}
