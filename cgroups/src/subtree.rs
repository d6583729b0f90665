//! Walking a cgroup with everything below it. A container may own what is below and make it as deep and as wide as
//! it likes, so the walk holds two descriptors at a time and does not recurse.

use std::ffi::{CStr, CString};

use crate::directory::Directory;
use crate::error::Result;

/// What to do on the way.
pub(crate) trait Visitor {
    /// Called for a cgroup before those below it.
    fn enter(&mut self, directory: &Directory) -> Result<()>;
    /// Called with a cgroup's parent and name after those below it; not called for the top.
    fn leave(&mut self, parent: &Directory, name: &CStr) -> Result<()>;
}

/// Visits `top` and every cgroup below it. One that is removed meanwhile is skipped.
pub(crate) fn walk(top: &Directory, visitor: &mut impl Visitor) -> Result<()> {
    visitor.enter(top)?;
    // Per level: the children that are still to be visited, and the name of the one being visited.
    let mut pending: Vec<Vec<CString>> = vec![top.children()?];
    let mut names: Vec<CString> = Vec::new();
    let mut current: Option<Directory> = None;
    while let Some(siblings) = pending.last_mut() {
        let here = current.as_ref().unwrap_or(top);
        if let Some(name) = siblings.pop() {
            let entered = here.open_child(&name).and_then(|child| {
                visitor.enter(&child)?;
                let children = child.children()?;
                Ok((child, children))
            });
            match entered {
                Ok((child, children)) => {
                    pending.push(children);
                    names.push(name);
                    current = Some(child);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            continue;
        }
        pending.pop();
        if let Some(name) = names.pop() {
            let parent = if names.is_empty() { None } else { Some(here.open_parent()?) };
            visitor.leave(parent.as_ref().unwrap_or(top), &name)?;
            current = parent;
        }
    }
    Ok(())
}
