//! Which cgroup a container was put in, kept where it survives a crash of the shim.
//!
//! A cgroup may only be killed when it is certain that it is ours, and `config.json` cannot tell: it names what was asked
//! for. A record is one symbolic link, `/run/ballast/<namespace>/<shim>/<container>`, whose target is the cgroup's path, as
//! `linux.cgroupsPath` says it: a cgroup of systemd's has to be removed by systemd. It is
//! written after the cgroup was made, which fails for a cgroup that anybody uses, and removed after the cgroup. Records
//! outlive bundles: whoever cleans up after a shim finds all of its containers here. Beside them is the record of the
//! [shim](ShimRecord).

mod shim;

pub use shim::ShimRecord;

use crate::error::{CallContext, CallError};
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Where Ballast keeps what must survive a shim but not a reboot.
pub const STATE_DIRECTORY: &str = "/run/ballast";

/// The record of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    link: PathBuf,
}

impl Record {
    /// The record of a container of a shim, whether it exists or not.
    #[must_use]
    pub fn of(namespace: &str, shim: &str, id: &str) -> Self {
        Self { link: Path::new(STATE_DIRECTORY).join(namespace).join(shim).join(id) }
    }

    /// The records of all containers of a shim.
    ///
    /// # Errors
    /// When the directory cannot be read; that there is none is fine.
    pub fn all_of(namespace: &str, shim: &str) -> std::io::Result<Vec<Self>> {
        ShimRecord::of(namespace, shim).containers()
    }

    /// The record of a container whose shim is not known.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn find(namespace: &str, id: &str) -> std::io::Result<Option<Self>> {
        let shims = entries(&Path::new(STATE_DIRECTORY).join(namespace))?;
        let mut records = shims.into_iter().map(|shim| Self { link: shim.join(id) });
        Ok(records.find(|record| record.link.symlink_metadata().is_ok()))
    }

    /// All records of the node.
    ///
    /// # Errors
    /// When a directory cannot be read; that there is none is fine.
    pub fn all() -> std::io::Result<Vec<Self>> {
        let mut records = Vec::new();
        for shim in ShimRecord::all()? {
            records.extend(shim.containers()?);
        }
        Ok(records)
    }

    /// containerd's namespace of the container.
    #[must_use]
    pub fn namespace(&self) -> &str {
        let namespace = self.link.ancestors().nth(2).and_then(Path::file_name);
        namespace.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.link.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The cgroup's path as `linux.cgroupsPath` says it, or `None` when there is no record.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn cgroup(&self) -> Result<Option<String>, CallError> {
        Ok(read_link(&self.link)?.map(|cgroup| cgroup.to_string_lossy().into_owned()))
    }

    /// Removes the record, and the shim's directory when nothing else is in it. It need not exist.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self) -> Result<(), CallError> {
        remove_link(&self.link)
    }

    pub(crate) fn write(&self, cgroup: &str) -> Result<(), CallError> {
        // One that is there was left by a container of the same id, whose cgroup is gone: ours could not have been made otherwise.
        write_link(cgroup.as_ref(), &self.link)
    }
}

/// Makes a link, and what is missing of the path to it; replaces one that is there.
fn write_link(target: &Path, link: &Path) -> Result<(), CallError> {
    let result = match symlinkat(target, CWD, link) {
        Err(Errno::NOENT) => make_parents(link).and_then(|()| symlinkat(target, CWD, link)),
        Err(Errno::EXIST) => {
            unlinkat(CWD, link, AtFlags::empty()).and_then(|()| symlinkat(target, CWD, link))
        }
        result => result,
    };
    result.call("symlink", || format!("{:?}, {}", target.display(), link.display()))
}

/// Where a link leads; `None` when there is none.
fn read_link(link: &Path) -> Result<Option<CString>, CallError> {
    match readlinkat(CWD, link, Vec::new()) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).call("readlink", || link.display().to_string()),
    }
}

/// Removes a link, and the directory around it when that is empty then. Neither need exist.
fn remove_link(link: &Path) -> Result<(), CallError> {
    let removed = match unlinkat(CWD, link, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno).call("unlink", || link.display().to_string()),
    };
    let Some(directory) = link.parent() else { return removed };
    match unlinkat(CWD, directory, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => removed,
        Err(errno) => removed.and(Err(errno).call("rmdir", || directory.display().to_string())),
    }
}

fn make_parents(link: &Path) -> Result<(), Errno> {
    let shim = link.parent().ok_or(Errno::INVAL)?;
    let namespace = shim.parent().ok_or(Errno::INVAL)?;
    for directory in [namespace.parent().ok_or(Errno::INVAL)?, namespace, shim] {
        match mkdirat(CWD, directory, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// What is in a directory; nothing when it is not there.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
