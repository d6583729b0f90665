//! A node's kernel as a user-mode Linux process. Knows how to start it, not what runs inside.

use std::path::Path;
use std::process::Command;

use crate::node::Init;
use crate::setup::Guest;

/// Where the host's root directory is, as the kernel's `hostfs` sees it.
pub(crate) const HOSTFS_ROOT: &str = "/host";

/// The serial line that is the stream to the agent.
const CHANNEL: &str = "/dev/ttyS0";

/// What systemd starts (`integration/guest/files`), and what it is told so that it does not look for it.
const SYSTEMD: [&str; 6] = [
    "init=/usr/lib/systemd/systemd",
    "systemd.unit=ballast-node.target",
    "systemd.hostname=ballast-node",
    "systemd.firstboot=off",
    "systemd.show_status=off",
    "systemd.log_target=console",
];

/// Starts the kernel on one CPU of this machine, with standard input and output as its serial line, its console on standard
/// error. The image is never written: each boot has its own copy-on-write file in `scratch` bytes of memory.
pub(crate) fn command(guest: &Guest, init: Init, memory: u64, scratch: u64, cpu: usize) -> Command {
    let hostfs = |path: &Path| format!("{HOSTFS_ROOT}{}", path.display());
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(["taskset", "--cpu-list", &cpu.to_string()])
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", include_str!("../../guest/start-uml.sh"), "start-uml"])
        .arg(&guest.kernel.directory)
        .arg(scratch.to_string())
        .args(guest.kernel.execution)
        .arg(format!("mem={}M", memory >> 20))
        .arg(format!("ubd0=/tmp/root.cow,{}", hostfs(&guest.image)))
        .args(["root=/dev/ubda", "rootfstype=ext4", "rootflags=noinit_itable", "rw"])
        .args(["con=null", "con0=null,fd:2", "ssl=null", "ssl0=fd:0,fd:1"])
        .args(["umid=node", "uml_dir=/tmp", "security=apparmor", "quiet"]);
    match init {
        Init::Agent => command.args(["init=/sbin/node-agent", "--", CHANNEL]),
        Init::Systemd => command.args(SYSTEMD),
    };
    command
}
