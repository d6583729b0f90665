//! Containers without CRI, for what CRI would refuse or repair itself.

use std::path::{Path, PathBuf};

use super::command::{Outcome, run};
use super::footprint;
use super::node::Node;
use super::process;

impl Node {
    /// Runs a container to its end with `ctr`; `arguments` are its options, image or root file system, id and command.
    pub fn ctr_run(&self, arguments: &[&str]) -> Outcome {
        let runtime = format!("io.containerd.{}.v2", self.handler());
        let outcome = run(
            "ctr",
            &[&["-n", "k8s.io", "run", "--rm", "--runtime", runtime.as_str()], arguments].concat(),
        );
        self.remove_ctr_cgroup();
        outcome
    }

    /// Removes the default parent of the cgroups of ctr's containers: whoever names a parent owns it.
    pub fn remove_ctr_cgroup(&self) {
        footprint::remove_empty_cgroup(Path::new("/sys/fs/cgroup/k8s.io"));
    }

    /// The shim's program: found as containerd does, in `PATH` or next to itself.
    pub fn shim_program(&self) -> PathBuf {
        let name = format!("containerd-shim-{}-v2", self.handler());
        let containerd = process::table().into_iter().find(|entry| entry.name == "containerd").unwrap();
        let neighbour =
            std::fs::read_link(format!("/proc/{}/exe", containerd.pid)).unwrap().with_file_name(&name);
        if neighbour.exists() {
            return neighbour;
        }
        let found = run("sh", &["-c", &format!("command -v {name}")]);
        PathBuf::from(found.expect_success(&name).trim_end())
    }
}
