//! Where this machine's cgroups are v1 or hybrid: a mount namespace in which `/sys/fs/cgroup` is cgroup v2 alone, without
//! controllers. For what measures the runtime on this machine's own kernel.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::node::host_cgroup::{ROOT, is_unified};

/// Mounts the unified hierarchy and goes on as the program that was given.
const SCRIPT: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";

/// `program` where `/sys/fs/cgroup` is cgroup v2: in a mount namespace of its own if need be.
///
/// # Errors
/// When the machine's cgroups cannot be looked at.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_unified()? { Ok(Command::new(program)) } else { Ok(elsewhere(program)) }
}

/// Runs this very program again there and returns how that ended; `None` where nothing has to be done.
///
/// # Errors
/// When the namespace or the mount is refused.
pub(crate) fn run_again_where_unified() -> Result<Option<Result<()>>> {
    if is_unified()? {
        return Ok(None);
    }
    eprintln!("  {ROOT} is not cgroup v2: measures in a mount namespace where it is, without controllers");
    let program = env::current_exe().context("find this program")?;
    let status = elsewhere(program).args(env::args_os().skip(1)).status().context("start unshare")?;
    Ok(Some(if status.success() {
        Ok(())
    } else {
        Err(anyhow!("in the mount namespace with cgroup v2: {status}"))
    }))
}

fn elsewhere(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(program);
    command
}
