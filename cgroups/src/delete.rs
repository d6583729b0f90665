//! Removing a cgroup with what the container made below it.

use std::ffi::{CStr, CString};
use std::time::Instant;

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::subtree::{Visitor, walk};

impl Cgroup {
    /// Removes the cgroup and those below it, once their processes are gone; kill them first. Succeeds when it is
    /// already gone. A unit of systemd is stopped before.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] when it still has processes at `deadline`.
    pub fn delete(&self, deadline: Instant) -> Result<()> {
        self.wait_until_empty(deadline)?;
        if let Some(scope) = &self.scope {
            scope.stop()?;
        }
        loop {
            self.wait_until_empty(deadline)?;
            match self.try_delete() {
                // A last process that is on its way out, or a cgroup that was made after its parent was listed.
                Err(Error::Call { source: Errno::BUSY | Errno::NOTEMPTY, .. })
                    if Instant::now() < deadline => {}
                Err(error) if error.is_not_found() => return Ok(()),
                other => return other,
            }
        }
    }

    fn try_delete(&self) -> Result<()> {
        let (parent, name) = self.path.split();
        let name =
            CString::new(name).map_err(|_| Error::call("rmdir", self.directory.path(), Errno::INVAL))?;
        let opened;
        let parent = if parent.is_empty() {
            self.hierarchy.root()
        } else {
            opened = self.hierarchy.root().open_below(parent)?;
            &opened
        };
        // Most containers have nothing below.
        match parent.remove_child(&name) {
            Err(Error::Call { source: Errno::BUSY | Errno::NOTEMPTY, .. }) => {}
            other => return other,
        }
        walk(&self.directory, &mut Remover)?;
        parent.remove_child(&name)
    }
}

struct Remover;

impl Visitor for Remover {
    fn enter(&mut self, _directory: &Directory) -> Result<()> {
        Ok(())
    }

    fn leave(&mut self, parent: &Directory, name: &CStr) -> Result<()> {
        match parent.remove_child(name) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}
