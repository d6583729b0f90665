//! Where this machine's cgroups are v1 or hybrid: a mount namespace in which `/sys/fs/cgroup` is cgroup v2 alone.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::node::host_cgroup::{ROOT, is_unified};

/// Mounts the unified hierarchy and goes on as the program that was given.
const SCRIPT: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";

/// Runs this very program again there and returns how that ended; `None` where nothing has to be done.
///
/// # Errors
/// When the namespace or the mount is refused.
pub(super) fn run_again_where_unified() -> Result<Option<Result<()>>> {
    if is_unified()? {
        return Ok(None);
    }
    eprintln!("  {ROOT} is not cgroup v2: measures in a mount namespace where it is, without controllers");
    let program = env::current_exe().context("find this program")?;
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
        .arg(program)
        .args(env::args_os().skip(1))
        .status()
        .context("start unshare")?;
    Ok(Some(if status.success() {
        Ok(())
    } else {
        Err(anyhow!("in the mount namespace with cgroup v2: {status}"))
    }))
}
