//! PID 1, of a kernel or of a process namespace: what must be before anything else can run, and reaping. Knows nothing of containers.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitOptions};

use crate::{mounts, serve};

/// Brings the node up, serves until the server ends, and powers off.
pub(crate) fn run(channel: &str) -> Result<()> {
    let outcome = bring_up_and_serve(channel);
    if let Err(error) = &outcome {
        eprintln!("node-agent: {error:#}");
    }
    // Nothing on the node outlives it, so there is nothing to flush.
    rustix::system::reboot(rustix::system::RebootCommand::PowerOff).context("power off")
}

/// Brings up a node that shares the machine's kernel and serves until the server ends; then the process namespace ends
/// with everything in it.
pub(crate) fn run_contained(channel: &str) -> Result<()> {
    prepare_namespaces()?;
    serve(channel)
}

/// Serves as a service of systemd, which has mounted, named and enabled what it owns.
pub(crate) fn run_as_service(channel: &str) -> Result<()> {
    prepare_network()?;
    prepare_kernel()?;
    serve::serve(channel)
}

fn bring_up_and_serve(channel: &str) -> Result<()> {
    mounts::mount_devices()?;
    prepare_namespaces()?;
    prepare_kernel()?;
    serve(channel)
}

/// What takes a kernel of the node's own.
fn prepare_kernel() -> Result<()> {
    set_sysctl("vm/overcommit_memory", "1")?;
    load_modules()
}

/// What touches nothing beyond this process's namespaces.
fn prepare_namespaces() -> Result<()> {
    mounts::mount_kernel_filesystems()?;
    enable_controllers()?;
    rustix::system::sethostname(b"ballast-node").context("set the host name")?;
    prepare_network()
}

fn prepare_network() -> Result<()> {
    set_sysctl("net/ipv4/ip_forward", "1")?;
    // What systemd sets: pods may ping without a capability.
    set_sysctl("net/ipv4/ping_group_range", "0 2147483647")
}

fn set_sysctl(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{key}");
    fs::write(&path, value).with_context(|| format!("write {path}"))
}

fn serve(channel: &str) -> Result<()> {
    let server = Command::new("/proc/self/exe")
        .arg0("node-agent")
        .args(["serve", channel])
        .spawn()
        .context("start the command server")?;
    reap_until(Pid::from_child(&server))
}

/// What nothing loads on demand: `/dev/fuse` appears with its module, and programs look for overlay in
/// `/proc/filesystems` before they mount one.
fn load_modules() -> Result<()> {
    let status = Command::new("/usr/sbin/modprobe")
        .args(["--all", "fuse", "overlay"])
        .status()
        .context("start modprobe")?;
    if !status.success() {
        bail!("load the fuse and overlay modules: {status}");
    }
    Ok(())
}

/// Every controller, for every child of the root.
fn enable_controllers() -> Result<()> {
    let root = "/sys/fs/cgroup";
    let controllers =
        fs::read_to_string(format!("{root}/cgroup.controllers")).context("read the controllers")?;
    let enable: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    fs::write(format!("{root}/cgroup.subtree_control"), enable.join(" ")).context("enable the controllers")
}

/// Reaps whatever ends up here until `server` has ended.
fn reap_until(server: Pid) -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == server => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("wait for children"),
        }
    }
}
