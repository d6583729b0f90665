//! Making a cgroup: its directory, the parents that are missing, and the controllers that they pass on.
//! Knows no limit.

use std::ffi::CString;

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::controllers::Controllers;
use crate::directory::Directory;
use crate::error::{Error, Kind, Result};
use crate::hierarchy::Hierarchy;
use crate::path::CgroupPath;
use crate::systemd::{Scope, SystemdError};

/// Others create and remove siblings and empty parents at the same time. Each round is lost only to one of them
/// that made progress, so a bound is a matter of form.
const ROUNDS: usize = 16;

impl Hierarchy {
    /// Makes the cgroup of a new container: empty, and with every controller that the hierarchy has.
    ///
    /// Missing parents are created, and each ancestor enables all available controllers for its children. An empty
    /// directory that a crash left behind is replaced, so that no old limit survives in it. When this fails,
    /// the directories that it created are removed again.
    ///
    /// # Errors
    /// [`Error::InUse`] when the cgroup has processes or children, [`Error::InternalProcesses`] when a parent has
    /// processes of its own and cannot pass controllers on, [`Error::NotADomain`] below threaded cgroups,
    /// [`Error::Systemd`] when systemd owns the path, see [`Self::create_scope`].
    pub fn create(&self, path: &CgroupPath) -> Result<Cgroup> {
        if let Some(unit) = path.unit().filter(|_| path.is_owned_by_systemd()) {
            return Err(Box::new(SystemdError::Owned { unit: unit.name.clone() }).into());
        }
        let mut outcome = self.try_create(path);
        for _ in 1..ROUNDS {
            match &outcome {
                // A parent was removed between two steps.
                Err(error) if error.is_not_found() => outcome = self.try_create(path),
                _ => break,
            }
        }
        outcome
    }

    /// Opens a cgroup that exists.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`Kind::NotFound`] when it does not exist.
    pub fn find(&self, path: &CgroupPath) -> Result<Cgroup> {
        let directory = self.root().open_below(path.relative())?;
        let scope = if path.is_owned_by_systemd() { Some(Scope::of(path)?) } else { None };
        Ok(Cgroup { hierarchy: self.clone(), path: path.clone(), directory, scope })
    }

    /// Enables the available controllers from the root down to the parent of a cgroup that another manager made.
    pub(crate) fn pass_controllers_to(&self, path: &CgroupPath) -> Result<()> {
        self.open_parent(path, &mut Vec::new()).map(drop)
    }

    fn try_create(&self, path: &CgroupPath) -> Result<Cgroup> {
        let mut created = Vec::new();
        let outcome = self
            .open_parent(path, &mut created)
            .and_then(|parent| self.create_in(parent.as_ref().unwrap_or(self.root()), path, &mut created));
        if outcome.is_err() {
            self.remove_created(&created);
        }
        outcome
    }

    fn create_in(&self, parent: &Directory, path: &CgroupPath, created: &mut Vec<String>) -> Result<Cgroup> {
        let (_, name) = path.split();
        if let Err(error) = parent.create_child(name) {
            if error.kind() != Kind::AlreadyExists {
                return Err(error);
            }
            replace_left_over(parent, name)?;
        }
        created.push(path.relative().to_owned());
        let cgroup = self.find(path)?;
        refuse_threaded(&cgroup.directory)?;
        Ok(cgroup)
    }

    /// Opens the parent of `path` (`None` is the root), prepared to have children with all controllers.
    fn open_parent(&self, path: &CgroupPath, created: &mut Vec<String>) -> Result<Option<Directory>> {
        let (parent, _) = path.split();
        if parent.is_empty() {
            self.enable_controllers(self.root())?;
            return Ok(None);
        }
        // The common case: the pod's cgroup is there and has passed everything on for its first container.
        match self.root().open_below(parent) {
            Ok(directory) if self.passes_all(&directory)? => return Ok(Some(directory)),
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.enable_controllers(self.root())?;
        let mut current: Option<Directory> = None;
        for (end, _) in parent.match_indices('/').chain([(parent.len(), "")]) {
            let ancestor = parent.get(..end).unwrap_or(parent);
            let above = current.as_ref().unwrap_or(self.root());
            let name = ancestor.rsplit_once('/').map_or(ancestor, |(_, name)| name);
            match above.create_child(name) {
                Ok(()) => created.push(ancestor.to_owned()),
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let directory = self.root().open_below(ancestor)?;
            self.enable_controllers(&directory)?;
            current = Some(directory);
        }
        Ok(current)
    }

    fn passes_all(&self, directory: &Directory) -> Result<bool> {
        let enabled = Controllers::parse(&directory.read("cgroup.subtree_control")?);
        Ok(self.controllers().without(&enabled).next().is_none())
    }

    /// Enables for the children of `directory` what it has and does not pass on yet.
    fn enable_controllers(&self, directory: &Directory) -> Result<()> {
        let available = Controllers::parse(&directory.read("cgroup.controllers")?);
        let enabled = Controllers::parse(&directory.read("cgroup.subtree_control")?);
        let missing: Vec<String> = available.without(&enabled).map(|name| format!("+{name}")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        // All at once, also for the sake of a cgroup with processes: it would take the threaded controllers alone, and
        // become the root of a threaded subtree by that.
        let Err(error) = pass_on(directory, &missing.join(" ")) else { return Ok(()) };
        if matches!(error, Error::InternalProcesses { .. }) || error.is_not_found() {
            return Err(error);
        }
        for switch in missing {
            match pass_on(directory, &switch) {
                Err(error @ Error::InternalProcesses { .. }) => return Err(error),
                Err(error) if error.is_not_found() => return Err(error),
                // One controller that cannot be had here does not stop a container that does not use it; a limit
                // that does is refused when it is written, by the name of the controller.
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Removes what a failed attempt made, the deepest first. One that has been used by others since then stays.
    fn remove_created(&self, created: &[String]) {
        for path in created.iter().rev() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let Ok(name) = CString::new(name) else { continue };
            let removed = if parent.is_empty() {
                self.root().remove_child(&name)
            } else {
                self.root().open_below(parent).and_then(|parent| parent.remove_child(&name))
            };
            if removed.is_err() {
                return;
            }
        }
    }
}

/// Enables controllers for the children: `switches` is `+cpu +memory`.
fn pass_on(directory: &Directory, switches: &str) -> Result<()> {
    match directory.write("cgroup.subtree_control", switches) {
        // The kernel keeps domain controllers from a cgroup that has both processes and children (cgroup-v2, "No
        // Internal Process Constraint").
        Err(Error::Write { source: Errno::BUSY, .. }) => Err(Error::InternalProcesses {
            path: directory.path().to_owned(),
            controllers: switches.replace('+', ""),
        }),
        other => other,
    }
}

/// Removes the directory and makes it anew. The kernel removes only a cgroup without processes and children.
fn replace_left_over(parent: &Directory, name: &str) -> Result<()> {
    let path = parent.path().join(name);
    let c_name = CString::new(name).map_err(|_| Error::call("rmdir", &path, Errno::INVAL))?;
    match parent.remove_child(&c_name) {
        Ok(()) => {}
        Err(Error::Call { source: Errno::BUSY | Errno::NOTEMPTY, .. }) => {
            return Err(Error::InUse { path, reason: "has processes or children" });
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    parent.create_child(name).map_err(|error| match error.kind() {
        Kind::AlreadyExists => Error::InUse { path, reason: "is being created by another process" },
        _ => error,
    })
}

/// A child of a threaded cgroup is `domain invalid`: it exists, but takes no process.
fn refuse_threaded(directory: &Directory) -> Result<()> {
    let content = directory.read("cgroup.type")?;
    match content.trim_end() {
        "domain" | "domain threaded" => Ok(()),
        mode => Err(Error::NotADomain { path: directory.path().to_owned(), mode: mode.to_owned() }),
    }
}
