//! Removing a cgroup with what the container made below it.

use std::ffi::{CStr, CString};
use std::time::Instant;

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::error::{Error, Result, ignore_gone};
use crate::subtree::{Visitor, walk};

impl Cgroup {
    /// Removes the cgroup and those below it, once their processes are gone; kill them first. Succeeds when it is
    /// already gone. A unit of systemd is stopped before.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] when it still has processes at `deadline`.
    pub fn delete(&self, deadline: Instant) -> Result<()> {
        match &self.scope {
            Some(scope) => {
                self.wait_until_empty(deadline)?;
                scope.stop()?;
            }
            // The common case: everything has ended, and the container made no cgroups of its own.
            None if ignore_gone(self.parent().and_then(|parent| self.remove_from(&parent))).is_ok() => {
                return Ok(());
            }
            None => {}
        }
        loop {
            self.wait_until_empty(deadline)?;
            match self.delete_tree() {
                // A last process that is on its way out, or a cgroup that was made after its parent was listed.
                Err(Error::Call { source: Errno::BUSY | Errno::NOTEMPTY, .. })
                    if Instant::now() < deadline => {}
                other => return ignore_gone(other),
            }
        }
    }

    fn delete_tree(&self) -> Result<()> {
        walk(&self.directory, &mut Remover)?;
        self.remove_from(&self.parent()?)
    }

    fn remove_from(&self, parent: &Directory) -> Result<()> {
        let (_, name) = self.path.split();
        let name =
            CString::new(name).map_err(|_| Error::call("rmdir", self.directory.path(), Errno::INVAL))?;
        parent.remove_child(&name)
    }

    fn parent(&self) -> Result<Directory> {
        let (parent, _) = self.path.split();
        self.hierarchy.root().open_below(if parent.is_empty() { "." } else { parent })
    }
}

struct Remover;

impl Visitor for Remover {
    fn enter(&mut self, _directory: &Directory) -> Result<()> {
        Ok(())
    }

    fn leave(&mut self, parent: &Directory, name: &CStr) -> Result<()> {
        ignore_gone(parent.remove_child(name))
    }
}
