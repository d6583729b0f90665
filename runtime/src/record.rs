//! Which cgroup a container was put in, kept where it survives a crash of the shim.
//!
//! A cgroup may only be killed when it is certain that it is ours, and `config.json` cannot tell: it names what was asked
//! for. A record is one symbolic link, `/run/ballast/<namespace>/<id>`, whose target is the cgroup's path; it is written
//! after the cgroup was made, which fails for a cgroup that anybody uses, and removed after the cgroup.

use crate::error::{CallContext, CallError};
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Where Ballast keeps what must survive a shim but not a reboot.
pub const STATE_DIRECTORY: &str = "/run/ballast";

/// The record of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    link: PathBuf,
}

impl Record {
    /// The record of a container, whether it exists or not.
    #[must_use]
    pub fn of(namespace: &str, id: &str) -> Self {
        Self { link: Path::new(STATE_DIRECTORY).join(namespace).join(id) }
    }

    /// The cgroup's path below the root of the hierarchy, or `None` when there is no record.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn cgroup(&self) -> Result<Option<String>, CallError> {
        match readlinkat(CWD, &self.link, Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno).call("readlink", || self.link.display().to_string()),
        }
    }

    /// Removes the record; it need not exist.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self) -> Result<(), CallError> {
        match unlinkat(CWD, &self.link, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(errno).call("unlink", || self.link.display().to_string()),
        }
    }

    pub(crate) fn write(&self, cgroup: &str) -> Result<(), CallError> {
        let result = match symlinkat(cgroup, CWD, &self.link) {
            Err(Errno::NOENT) => make_parents(&self.link).and_then(|()| symlinkat(cgroup, CWD, &self.link)),
            // Left by a container of the same id, whose cgroup is gone: ours could not have been made otherwise.
            Err(Errno::EXIST) => {
                unlinkat(CWD, &self.link, AtFlags::empty()).and_then(|()| symlinkat(cgroup, CWD, &self.link))
            }
            result => result,
        };
        result.call("symlink", || format!("{cgroup:?}, {}", self.link.display()))
    }
}

fn make_parents(link: &Path) -> Result<(), Errno> {
    let namespace = link.parent().ok_or(Errno::INVAL)?;
    for directory in [namespace.parent().ok_or(Errno::INVAL)?, namespace] {
        match mkdirat(CWD, directory, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
