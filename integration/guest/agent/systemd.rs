//! systemd as the node's PID 1, asked through `systemctl`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const UNIT: &str = "containerd.service";

/// Whether it is the service manager: sd_booted(3).
pub(crate) fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// `start`, `stop`, `restart` or `kill`; returns when containerd is ready, or gone.
pub(crate) fn containerd(verb: &str) -> Result<()> {
    if verb == "kill" {
        // Its shims live on in the same cgroup.
        systemctl(&["kill", "--kill-whom=main", "--signal=KILL", UNIT])?;
        // Nothing is left to stop: this waits until systemd has noticed.
        return systemctl(&["stop", UNIT]);
    }
    systemctl(&[verb, UNIT])
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let output = Command::new("systemctl").args(arguments).output().context("start systemctl")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("systemctl {}: {}: {}", arguments.join(" "), output.status, said.trim());
    }
    Ok(())
}
