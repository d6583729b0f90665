//! One cgroup by descriptor: identity and file access. What is done with it is in the modules named after that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::controllers::Controllers;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::path::CgroupPath;
use crate::systemd::Scope;

/// A cgroup directory that is held open.
///
/// It does not remove the directory when it is dropped: the cgroup outlives its processes, so that statistics and
/// the reason of an exit can be read until [`Cgroup::delete`].
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) path: CgroupPath,
    pub(crate) directory: Directory,
    /// The unit, when systemd owns the cgroup.
    pub(crate) scope: Option<Scope>,
}

impl AsFd for Cgroup {
    /// The directory's descriptor, as `clone3` with `CLONE_INTO_CGROUP` takes it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Cgroup {
    /// Where it is in the hierarchy.
    #[must_use]
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The hierarchy that it is in.
    #[must_use]
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Whether it is a scope of systemd's, which removes it as soon as its last process has ended.
    #[must_use]
    pub fn is_owned_by_systemd(&self) -> bool {
        self.scope.is_some()
    }

    /// The directory's absolute path, for messages and mounts.
    #[must_use]
    pub fn directory_path(&self) -> &Path {
        self.directory.path()
    }

    /// The controllers that are enabled in it.
    ///
    /// # Errors
    /// [`Error::Call`] when `cgroup.controllers` cannot be read.
    pub fn controllers(&self) -> Result<Controllers> {
        Ok(Controllers::parse(&self.directory.read("cgroup.controllers")?))
    }

    /// Writes a controller's file. A file that is missing is explained: by its controller or by the kernel.
    pub(crate) fn write(&self, file: &str, value: &str) -> Result<()> {
        self.directory.write(file, value).map_err(|error| self.explain_missing(file, error))
    }

    pub(crate) fn read(&self, file: &str) -> Result<String> {
        self.directory.read(file).map_err(|error| self.explain_missing(file, error))
    }

    pub(crate) fn open_file(&self, file: &str) -> Result<OwnedFd> {
        self.directory.open_file(file).map_err(|error| self.explain_missing(file, error))
    }

    pub(crate) fn open_file_for_writing(&self, file: &str) -> Result<OwnedFd> {
        self.directory.open_file_for_writing(file).map_err(|error| self.explain_missing(file, error))
    }

    /// `error` unless it only says that the file is not there while the cgroup is.
    fn explain_missing(&self, file: &str, error: Error) -> Error {
        let missing = matches!(&error, Error::Call { source, .. } if *source == rustix::io::Errno::NOENT);
        let Ok(enabled) = self.controllers() else { return error };
        let cgroup = || self.directory.path().to_owned();
        match file.split_once('.') {
            Some((controller, _)) if missing && controller != "cgroup" && !enabled.contains(controller) => {
                Error::ControllerMissing {
                    controller: controller.into(),
                    file: file.into(),
                    cgroup: cgroup(),
                }
            }
            _ if missing => Error::FileMissing { file: file.into(), cgroup: cgroup() },
            _ => error,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::hierarchy::tests::stand_in;

    /// A cgroup of ordinary files at `/box` below `root`, with empty files of the given names.
    pub(crate) fn stand_in_cgroup(root: &Path, controllers: &str, files: &[&str]) -> Cgroup {
        let hierarchy = stand_in(root, controllers);
        let directory = root.join("box");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("cgroup.controllers"), format!("{controllers}\n")).unwrap();
        for file in files {
            std::fs::write(directory.join(file), "").unwrap();
        }
        hierarchy.find(&CgroupPath::parse("/box").unwrap()).unwrap()
    }

    #[test]
    fn a_missing_controller_is_named_in_the_error() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "cpu memory", &["cpu.max"]);
        let error = cgroup.write("pids.max", "10").unwrap_err();
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        assert!(error.to_string().contains("controller pids is not enabled"), "{error}");
        assert!(error.to_string().contains("pids.max"), "{error}");
    }

    #[test]
    fn a_file_that_the_kernel_lacks_is_told_from_a_missing_controller() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "cpu memory", &["cpu.max"]);
        let error = cgroup.write("cpu.max.burst", "10").unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(matches!(&error, Error::FileMissing { file, .. } if file == "cpu.max.burst"), "{error:?}");
    }

    #[test]
    fn a_cgroup_that_is_gone_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "cpu", &[]);
        std::fs::remove_dir_all(root.path().join("box")).unwrap();
        assert_eq!(cgroup.write("cpu.max", "10").unwrap_err().kind(), Kind::NotFound);
    }
}
