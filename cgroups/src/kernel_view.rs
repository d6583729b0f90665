//! `cgroup.role` and `cpu.quota_aware` of OpenCloudOS: which cgroups the kernel's own views of `/proc` are about. Tested against
//! a model of the files, not yet on that kernel.

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};

impl Cgroup {
    /// Lets the kernel's views tell its processes of this cgroup, quota included. `false` when the kernel has no such thing.
    ///
    /// # Errors
    /// [`Error::Write`] when the kernel refuses.
    pub fn become_view_boundary(&self) -> Result<bool> {
        for file in ["cpu.quota_aware", "cgroup.role"] {
            match self.write(file, "1") {
                Err(Error::FileMissing { .. } | Error::ControllerMissing { .. }) => return Ok(false),
                written => written?,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::cgroup::tests::stand_in_cgroup;

    #[test]
    fn a_cgroup_with_the_files_becomes_one_and_others_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "cpu", &["cpu.quota_aware", "cgroup.role"]);
        assert!(cgroup.become_view_boundary().unwrap());
        let read = |file| std::fs::read_to_string(root.path().join("box").join(file)).unwrap();
        assert_eq!((read("cgroup.role"), read("cpu.quota_aware")), ("1".into(), "1".into()));
        let mainline = tempfile::tempdir().unwrap();
        assert!(!stand_in_cgroup(mainline.path(), "cpu", &[]).become_view_boundary().unwrap());
    }
}
