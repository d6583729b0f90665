//! Where a running shim listens, for whoever wants to ask it something: `/run/ballast/<namespace>/<shim>/.socket`, a link to
//! its socket. It is written when the shim serves and removed when it ends.
//!
//! containerd knows this, too, and keeps it differently from one version to the next, below a directory of its own choice.

use super::{Record, STATE_DIRECTORY, entries, read_link, remove_link, write_link};
use crate::error::CallError;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No container can be called so: ids begin with a letter or a digit.
const SOCKET: &str = ".socket";

/// The record of one shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimRecord {
    directory: PathBuf,
}

impl ShimRecord {
    /// The record of a shim, whether it exists or not.
    #[must_use]
    pub fn of(namespace: &str, shim: &str) -> Self {
        Self { directory: Path::new(STATE_DIRECTORY).join(namespace).join(shim) }
    }

    /// Those of all shims of the node that serve or have containers.
    ///
    /// # Errors
    /// When a directory cannot be read; that there is none is fine.
    pub fn all() -> std::io::Result<Vec<Self>> {
        let mut shims = Vec::new();
        for namespace in entries(Path::new(STATE_DIRECTORY))? {
            shims.extend(entries(&namespace)?.into_iter().map(|directory| Self { directory }));
        }
        Ok(shims)
    }

    /// containerd's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        name(self.directory.parent())
    }

    /// What the shim was started for: the pod's sandbox, or a container by itself.
    #[must_use]
    pub fn id(&self) -> &str {
        name(Some(&self.directory))
    }

    /// The records of its containers.
    ///
    /// # Errors
    /// When the directory cannot be read; that there is none is fine.
    pub fn containers(&self) -> std::io::Result<Vec<Record>> {
        let links = entries(&self.directory)?.into_iter();
        Ok(links.filter(|link| !link.ends_with(SOCKET)).map(|link| Record { link }).collect())
    }

    /// Where it listens; `None` when it has not said so or does no longer.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn socket(&self) -> Result<Option<PathBuf>, CallError> {
        let socket = read_link(&self.directory.join(SOCKET))?;
        Ok(socket.map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes()))))
    }

    /// Writes where it listens.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_socket(&self, socket: &Path) -> Result<(), CallError> {
        write_link(socket, &self.directory.join(SOCKET))
    }

    /// Removes where it listened, and its directory when no container's record is in it. Neither need exist.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self) -> Result<(), CallError> {
        remove_link(&self.directory.join(SOCKET))
    }
}

fn name(path: Option<&Path>) -> &str {
    path.and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_and_its_containers_are_told_apart_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let shim = ShimRecord { directory: directory.path().join("k8s.io").join("pod") };
        let container = Record { link: shim.directory.join("a") };
        assert_eq!((shim.socket().unwrap(), shim.containers().unwrap()), (None, vec![]));
        std::fs::create_dir_all(&shim.directory).unwrap();
        for socket in ["/run/containerd/s/0", "/run/containerd/s/1"] {
            shim.write_socket(socket.as_ref()).unwrap();
            assert_eq!(shim.socket().unwrap().unwrap(), Path::new(socket));
        }
        container.write("/kubepods/a").unwrap();
        assert_eq!(shim.containers().unwrap(), std::slice::from_ref(&container));
        assert_eq!((shim.namespace(), shim.id(), container.namespace()), ("k8s.io", "pod", "k8s.io"));
        container.remove().unwrap();
        assert!(shim.socket().unwrap().is_some(), "the shim serves on");
        shim.remove().unwrap();
        assert!(!shim.directory.exists());
        shim.remove().unwrap();
    }

    #[test]
    fn a_shim_that_ends_before_its_containers_leaves_their_records() {
        let directory = tempfile::tempdir().unwrap();
        let shim = ShimRecord { directory: directory.path().join("k8s.io").join("pod") };
        std::fs::create_dir_all(&shim.directory).unwrap();
        shim.write_socket("/run/containerd/s/0".as_ref()).unwrap();
        let container = Record { link: shim.directory.join("a") };
        container.write("/kubepods/a").unwrap();
        shim.remove().unwrap();
        assert_eq!(shim.containers().unwrap(), std::slice::from_ref(&container));
        container.remove().unwrap();
        assert!(!shim.directory.exists());
    }
}
