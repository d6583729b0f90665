//! What the daemon is started from. Must not know what the daemon is.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

/// Our own executable, in a form that no container can write to.
#[derive(Debug)]
pub(super) struct Executable {
    path: PathBuf,
    /// Keeps `path` valid.
    _sealed: Option<OwnedFd>,
}

impl Executable {
    /// The running program on a read-only mount of its own; the program itself where the kernel or missing
    /// privileges do not allow that.
    pub(super) fn own() -> std::io::Result<Self> {
        match ballast_runtime::sys::self_binary::sealed() {
            Ok(sealed) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", sealed.as_raw_fd()));
                Ok(Self { path, _sealed: Some(sealed) })
            }
            Err(_) => Ok(Self { path: std::env::current_exe()?, _sealed: None }),
        }
    }

    /// What to execute, while this lives.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }
}
