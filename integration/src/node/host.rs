//! This machine's own kernel as a node: the node's Debian tree in namespaces of its own, below a cgroup of its own.
//! The machine's containerd, networks and files are neither seen nor touched. Knows how to start it, not what runs
//! inside.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::host_cgroup::HostCgroup;
use super::leftovers;
use crate::setup::Tree;

/// Where the machine's root directory is until the node has mounted its shares.
pub(crate) const MACHINE_ROOT: &str = "/machine";

/// What the processes of a node are kept apart by.
const NAMESPACES: [&str; 5] = ["--mount", "--net", "--uts", "--ipc", "--pid"];

/// An empty directory, where the node mounts its memory-backed file system in its own mount namespace. Removed when
/// dropped.
#[derive(Debug)]
pub(crate) struct MountPoint(PathBuf);

impl MountPoint {
    pub(crate) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        for stale in leftovers::of_dead_processes(&parent)? {
            fs::remove_dir(&stale).with_context(|| format!("remove {}", stale.display()))?;
        }
        let path = parent.join(leftovers::new_name());
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("left behind: {}: {error}", self.0.display());
        }
    }
}

/// Starts the node with standard input and output as the stream to its agent, its console on standard error. The tree is
/// never written: what the node writes is in `scratch` bytes of memory.
pub(crate) fn command(tree: &Tree, cgroup: &HostCgroup, mount_point: &MountPoint, scratch: u64) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(["sh", "-c", include_str!("../../guest/enter-cgroup.sh"), "enter-cgroup"])
        .arg(cgroup.path())
        .arg("unshare")
        .args(NAMESPACES)
        .args(["--fork", "--kill-child"])
        .args(["sh", "-c", include_str!("../../guest/start-host.sh"), "start-host"])
        .arg(&tree.debian)
        .arg(&tree.files)
        .arg(&mount_point.0)
        .arg(scratch.to_string());
    command
}

/// Whether this machine can be a node, found out by making what a node needs.
///
/// # Errors
/// Why not.
pub fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("it takes root");
    }
    HostCgroup::create(None).map(drop)?;
    let output = Command::new("unshare")
        .args(["--cgroup", "--fork"])
        .args(NAMESPACES)
        .args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"])
        .output()
        .context("start unshare")?;
    if !output.status.success() {
        bail!("no namespaces can be made: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
