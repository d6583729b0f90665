//! The mounted cgroup v2 hierarchy: found once, then held by descriptor.
//! Knows no container; places in it are [`CgroupPath`](crate::CgroupPath)s.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::controllers::Controllers;
use crate::directory::Directory;
use crate::error::{Error, Result};

/// `CGROUP2_SUPER_MAGIC`, from `linux/magic.h`.
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// Of a unified node and of a hybrid one. containerd, runc and systemd look nowhere else either.
const MOUNT_POINTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The cgroup v2 hierarchy of this node, opened once; cloning shares the descriptor.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    root: Arc<Directory>,
    /// What the root offers; a controller that a v1 hierarchy holds is not among them.
    controllers: Arc<Controllers>,
}

impl Hierarchy {
    /// Opens the hierarchy where every node has it: at `/sys/fs/cgroup`, or below that on a hybrid node.
    ///
    /// # Errors
    /// [`Error::NoHierarchy`] when neither is cgroup2, [`Error::Call`] when one cannot be opened or read.
    pub fn discover() -> Result<Self> {
        Self::discover_at(&MOUNT_POINTS.map(Path::new))
    }

    fn discover_at(mount_points: &[&Path]) -> Result<Self> {
        for mount_point in mount_points {
            match Self::open(mount_point) {
                Err(Error::NoHierarchy) => {}
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                result => return result,
            }
        }
        Err(Error::NoHierarchy)
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A hierarchy of ordinary files, for what only depends on their content.
    pub(crate) fn stand_in(root: &Path, controllers: &str) -> Hierarchy {
        std::fs::write(root.join("cgroup.controllers"), format!("{controllers}\n")).unwrap();
        Hierarchy::with_root(Directory::open(root).unwrap()).unwrap()
    }

    #[test]
    fn the_hierarchy_of_a_hybrid_node_is_found_below_the_usual_place() {
        let root = tempfile::tempdir().unwrap();
        let mounted = Hierarchy::discover().unwrap();
        let missing = root.path().join("unified");
        let found = Hierarchy::discover_at(&[root.path(), &missing, mounted.mount_point()]).unwrap();
        assert_eq!(found.mount_point(), mounted.mount_point());
        assert!(matches!(Hierarchy::discover_at(&[root.path(), &missing]), Err(Error::NoHierarchy)));
    }

    #[test]
    fn a_directory_of_another_file_system_is_refused() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Hierarchy::open(root.path()), Err(Error::NoHierarchy)));
    }
}
