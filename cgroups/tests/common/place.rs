//! A place of one's own in the hierarchy.

use std::sync::atomic::{AtomicU32, Ordering};

use ballast_cgroups::{CgroupPath, Hierarchy};

use super::common::soon;

/// A directory that is removed, with everything in it, at the end of a test.
pub(crate) struct Place {
    pub(crate) hierarchy: Hierarchy,
    top: CgroupPath,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let top = format!("/ballast-test-{}-{count}-{name}", std::process::id());
        Self { hierarchy: Hierarchy::discover().unwrap(), top: CgroupPath::parse(&top).unwrap() }
    }

    pub(crate) fn path(&self, relative: &str) -> CgroupPath {
        CgroupPath::parse(&format!("{}/{relative}", self.top)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(top) = self.hierarchy.find(&self.top) else { return };
        let removed = top.kill_all().and_then(|()| top.delete(soon()));
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}
