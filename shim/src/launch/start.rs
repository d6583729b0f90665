//! `start`: make sure that the group has a shim and tell its address. On the path of every pod.
//!
//! Everything the daemon should have from its first instruction (score, cgroup, scheduling cookie, socket, log) is
//! set up in this process and inherited, so nothing is left to undo once the daemon runs. Must not know what the
//! daemon serves.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ballast_cgroups::{CgroupPath, Hierarchy};
use rustix::thread::CoreSchedulingScope;

use super::{
    TTRPC_ADDRESS,
    arguments::{Arguments, Identity},
    bootstrap::{self, BootstrapError, Caller},
    executable::Executable,
    group::{self, GroupError},
    options::OptionsError,
    socket::{BoundSocket, Claim, DEFAULT_DIRECTORY, SocketError, SocketPath},
};
use crate::log::{Level, open_fifo};

const HIGHEST_OOM_SCORE: i32 = 1000;
/// Variables that speak to containerd as a systemd service; its shims must not answer for it.
const SERVICE_VARIABLES: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"];

/// Which step failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What containerd sent is not understood.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The options cannot be honoured.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The bundle cannot be read.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The cgroup for the shim does not exist.
    #[error("runtime option shim_cgroup")]
    ShimCgroup(#[source] ballast_cgroups::Error),
    /// Events would have nowhere to go.
    #[error("neither the bootstrap parameters nor TTRPC_ADDRESS name containerd's event socket")]
    NoEventAddress,
    /// A file or process operation failed.
    #[error("{step} {}", path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn step(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StartError {
    let path = path.into();
    move |source| StartError::Step { step, path, source }
}

/// Starts or joins the shim of the bundle in the working directory. Returns what to write to standard output.
pub(super) fn start(identity: &Identity, arguments: &Arguments) -> Result<Vec<u8>, StartError> {
    let input = bootstrap::read_input(io::stdin().lock())?;
    let caller = Caller::identify(&input, &identity.id, &identity.namespace)?;
    let options = caller.options()?;
    let group = group::of_bundle(Path::new("."))?.unwrap_or_else(|| identity.id.clone());
    let directory = caller.socket_directory().unwrap_or(DEFAULT_DIRECTORY);
    let grpc_address = caller.grpc_address().unwrap_or(&identity.grpc_address);
    let socket = SocketPath::new(Path::new(directory), grpc_address, &identity.namespace, &group);

    if let Claim::Bound(bound) = socket.claim()? {
        if let Some(directory) = caller.socket_directory() {
            remember_socket_directory(directory)?;
        }
        if let Some(cgroup) = &options.shim_cgroup {
            join_cgroup(cgroup)?;
        }
        if std::env::var_os("SCHED_CORE").is_some_and(|value| !value.is_empty()) {
            isolate_cores()?;
        }
        raise_oom_score();
        let level = caller.level().unwrap_or(arguments.level);
        let ttrpc_address = caller
            .ttrpc_address()
            .map(OsString::from)
            .or_else(|| std::env::var_os(TTRPC_ADDRESS))
            .filter(|address| !address.is_empty())
            .ok_or(StartError::NoEventAddress)?;
        spawn_daemon(identity, &group, level, &ttrpc_address, bound)?;
    }
    let address = socket.address();
    if let Caller::Legacy(_) = caller {
        write_address(&address)?;
    }
    Ok(caller.reply(&address)?)
}

/// Runs the daemon with the listener as its standard input and the log as its standard error. Standard output
/// belongs to the reply: containerd waits until nobody holds it any more.
fn spawn_daemon(
    identity: &Identity,
    group: &str,
    level: Level,
    ttrpc_address: &OsStr,
    socket: BoundSocket,
) -> Result<(), StartError> {
    let executable = Executable::own().map_err(step("find executable", "/proc/self/exe"))?;
    let listener = socket.listener().map_err(step("dup", "shim socket"))?;
    let mut daemon = Command::new(executable.path());
    daemon
        .arg0("containerd-shim-ballast-v2")
        .args(["-namespace", &identity.namespace, "-id", group, "-address", &identity.grpc_address])
        .args(["-log-level", level.name(), "serve"])
        // Not the bundle: it goes when its container goes, and the pod's shim stays.
        .current_dir("/")
        .stdin(Stdio::from(listener))
        .stdout(Stdio::null())
        .stderr(log_fifo()?);
    for variable in SERVICE_VARIABLES {
        daemon.env_remove(variable);
    }
    daemon.env(TTRPC_ADDRESS, ttrpc_address);
    daemon.spawn().map_err(step("execute", executable.path()))?;
    socket.hand_over();
    Ok(())
}

/// The log that containerd made in the bundle; none when the caller is not containerd.
fn log_fifo() -> Result<Stdio, StartError> {
    match open_fifo(Path::new("log")) {
        Ok(fifo) => Ok(Stdio::from(fifo)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stdio::null()),
        Err(error) => Err(step("open", "log")(error)),
    }
}

/// The out-of-memory killer should take a shim before containerd, and containers before both. Raising needs no
/// privilege; a failure leaves containerd's own score, which serves the pod as well.
fn raise_oom_score() {
    let path = "/proc/self/oom_score_adj";
    let score = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(score) = score {
        std::fs::write(path, (score + 1).min(HIGHEST_OOM_SCORE).to_string()).ok();
    }
}

/// `SCHED_CORE`: only processes of this pod share a core's hyperthreads (kernel admin-guide, core-scheduling).
fn isolate_cores() -> Result<(), StartError> {
    rustix::thread::create_core_scheduling_cookie(rustix::process::getpid(), CoreSchedulingScope::ThreadGroup)
        .map_err(|errno| step("prctl(PR_SCHED_CORE)", "self")(errno.into()))
}

/// `shim_cgroup`: this process joins, the daemon is born there. It must exist: it is the node's, not ours to make.
fn join_cgroup(cgroup: &str) -> Result<(), StartError> {
    let cgroup = CgroupPath::parse(cgroup).and_then(|path| Hierarchy::discover()?.find(&path));
    let path = cgroup.map_err(StartError::ShimCgroup)?.directory_path().join("cgroup.procs");
    std::fs::write(&path, "0").map_err(step("write 0 to", path))
}

/// `delete` is not told the directory; a link in the bundle tells it, as with containerd's own shims.
fn remember_socket_directory(directory: &str) -> Result<(), StartError> {
    std::fs::remove_file("s").or_else(ignore_missing).map_err(step("unlink", "s"))?;
    std::os::unix::fs::symlink(directory, "s").map_err(step("symlink", "s"))
}

/// What containerd before 2.3 finds the shim by after its restart.
fn write_address(address: &str) -> Result<(), StartError> {
    let (new, path) = (".address", "address");
    let written = File::create(new).and_then(|mut file| io::Write::write_all(&mut file, address.as_bytes()));
    written.map_err(step("write", new))?;
    std::fs::rename(new, path).map_err(step("rename to", path))
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
