//! Starts and stops the node's containerd and image registry, and knows when they are up: containerd tells the
//! way a systemd service does (`NOTIFY_SOCKET`, `READY=1`), once every plugin is ready. Where systemd is PID 1,
//! containerd is its service (`containerd.service`).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use ballast_integration::node::protocol::Engine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::systemd;

const STATE: &str = "/run/ballast-node";
const CGROUP: &str = "/sys/fs/cgroup/system.slice/containerd.service";
/// A node that takes longer is broken; the time only bounds how long a person waits for the message.
const START_DEADLINE: Duration = Duration::from_secs(180);
/// What containerd gets to stop by itself before it is killed.
const STOP_DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// What `start` needs to know later, when a test calls `node-containerd` without arguments.
#[derive(serde::Serialize, serde::Deserialize)]
struct Service {
    program: String,
    config: String,
    log: String,
    path: String,
}

/// Starts the registry and containerd, and returns when containerd is ready.
pub(crate) fn start_engine(engine: &Engine, path: &str, logs: &str) -> Result<()> {
    fs::create_dir_all(STATE).with_context(|| format!("create {STATE}"))?;
    let registry = start_registry(engine, path, logs)?;
    let service = Service {
        program: format!("{}/containerd", engine.directory),
        config: engine.config.clone(),
        log: format!("{logs}/containerd.log"),
        path: path.to_owned(),
    };
    let path = service_file();
    fs::write(&path, serde_json::to_vec(&service)?).with_context(|| format!("write {path}"))?;
    command("start")?;
    wait_for_registry(registry, engine).with_context(|| format!("see {logs}/registry.log"))
}

fn start_registry(engine: &Engine, path: &str, logs: &str) -> Result<Child> {
    let (program, arguments) = engine.registry.split_first().context("the registry has no command line")?;
    let log = append(&format!("{logs}/registry.log"))?;
    Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("duplicate the registry's log")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start the image registry {program}"))
}

/// The registry tells nobody when it listens: it is asked until it accepts or has ended. It started before
/// containerd, so the first attempt succeeds as a rule.
fn wait_for_registry(mut registry: Child, engine: &Engine) -> Result<()> {
    let pidfd =
        pidfd_open(Pid::from_child(&registry), PidfdFlags::empty()).context("open the registry's pidfd")?;
    let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    loop {
        if TcpStream::connect(&engine.registry_address).is_ok() {
            // Its end is of no interest from here on; as long as it lasts this thread holds its name.
            thread::spawn(move || drop(registry.wait()));
            return Ok(());
        }
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        if poll(&mut ended, Some(&pause)).context("wait for the registry")? > 0 {
            bail!("the image registry ended with {}", registry.wait().context("reap the registry")?);
        }
    }
}

/// `node-containerd <verb>`.
pub(crate) fn command(verb: &str) -> Result<()> {
    match verb {
        "run" => Err(become_containerd()),
        "start" | "stop" | "restart" | "kill" if systemd::is_running() => {
            let Service { log, .. } = Service::read()?;
            systemd::containerd(verb).with_context(|| format!("see {log}"))
        }
        "start" => start(),
        "stop" => stop(Signal::TERM),
        "kill" => stop(Signal::KILL),
        "restart" => stop(Signal::TERM).and_then(|()| start()),
        _ => bail!("unknown verb {verb}: start, stop, restart or kill"),
    }
}

impl Service {
    fn read() -> Result<Self> {
        let path = service_file();
        match fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).with_context(|| format!("read {path}")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("this node was booted without containerd")
            }
            Err(error) => Err(error).with_context(|| format!("read {path}")),
        }
    }

    /// Its command line and environment, its output in its log.
    fn containerd(&self) -> Result<Command> {
        let log = append(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .args(["--config", &self.config])
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("duplicate containerd's log")?)
            .stderr(log);
        Ok(command)
    }
}

/// Replaces this process, which systemd started, by containerd; returns when that cannot be.
fn become_containerd() -> Error {
    match Service::read().and_then(|service| service.containerd()) {
        Ok(mut command) => {
            Error::new(command.exec()).context(format!("run {}", command.get_program().display()))
        }
        Err(error) => error,
    }
}

fn start() -> Result<()> {
    let service = Service::read()?;
    if let Some(pid) = running()? {
        bail!("containerd is running already (pid {})", pid.as_raw_nonzero());
    }
    let socket = format!("{STATE}/containerd-notify.sock");
    remove_if_present(&socket)?;
    let notify = UnixDatagram::bind(&socket).with_context(|| format!("bind {socket}"))?;
    let child = service
        .containerd()?
        .env("NOTIFY_SOCKET", &socket)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", service.program))?;
    fs::create_dir_all(CGROUP).with_context(|| format!("create {CGROUP}"))?;
    fs::write(format!("{CGROUP}/cgroup.procs"), child.id().to_string())
        .context("move containerd into its cgroup")?;
    fs::write(pid_file(), child.id().to_string()).context("write containerd's pid")?;
    wait_until_ready(child, notify)
        .with_context(|| format!("containerd did not come up, see {}", service.log))
}

/// Returns at the first of: READY=1, containerd's death, the deadline.
fn wait_until_ready(mut child: Child, notify: UnixDatagram) -> Result<()> {
    let (sender, outcome) = mpsc::channel();
    let died = sender.clone();
    thread::spawn(move || {
        // The receiver is gone when containerd outlives its start.
        drop(died.send(match child.wait() {
            Ok(status) => Err(format!("it ended with {status}")),
            Err(error) => Err(format!("wait: {error}")),
        }));
    });
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok(length) = notify.recv(&mut message) {
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                drop(sender.send(Ok(())));
            }
        }
    });
    match outcome.recv_timeout(START_DEADLINE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => bail!(reason),
        Err(_) => bail!("not ready after {} s", START_DEADLINE.as_secs()),
    }
}

fn stop(signal: Signal) -> Result<()> {
    let Some(pid) = running()? else { bail!("containerd is not running") };
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("open containerd's pidfd")?;
    for signal in [signal, Signal::KILL] {
        pidfd_send_signal(&pidfd, signal).context("signal containerd")?;
        let mut events = [PollFd::new(&pidfd, PollFlags::IN)];
        if poll(&mut events, Some(&STOP_DEADLINE)).context("wait for containerd's end")? > 0 {
            return remove_if_present(&pid_file());
        }
    }
    bail!("containerd (pid {}) survived SIGKILL", pid.as_raw_nonzero())
}

/// containerd's pid, when the process we started still lives.
fn running() -> Result<Option<Pid>> {
    let text = match fs::read_to_string(pid_file()) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("read containerd's pid"),
    };
    let pid: i32 = text.trim().parse().context("containerd's pid")?;
    let command = fs::read_to_string(Path::new("/proc").join(text.trim()).join("comm")).unwrap_or_default();
    Ok(if command.trim() == "containerd" { Pid::from_raw(pid) } else { None })
}

fn service_file() -> String {
    format!("{STATE}/containerd.json")
}

fn pid_file() -> String {
    format!("{STATE}/containerd.pid")
}

fn append(path: &str) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("open {path}"))
}

fn remove_if_present(path: &str) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {path}")),
    }
}
