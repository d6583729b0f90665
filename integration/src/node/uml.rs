//! A node's kernel as a user-mode Linux process. Knows how to start and end it, not what runs inside.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Where the host's root directory is, as the kernel's `hostfs` sees it.
pub(crate) const HOSTFS_ROOT: &str = "/host";

/// Everything needed to start the kernel.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Holds `usr/bin/linux.uml` and the C library it needs.
    pub kernel: PathBuf,
    /// The kernel's own arguments for its way of running processes.
    pub execution: &'static [&'static str],
    /// The root file system, an ext4 image. Never written: each boot has its own copy-on-write file.
    pub image: PathBuf,
    /// Bytes.
    pub memory: u64,
    /// Gets what the kernel prints.
    pub console_log: PathBuf,
}

/// A running kernel. Dropping it kills every process of it and returns when they are gone.
#[derive(Debug)]
pub(crate) struct Kernel {
    pidfd: OwnedFd,
    /// Ends when the last process that could print has ended.
    console: Option<JoinHandle<()>>,
}

impl Kernel {
    /// Starts the kernel; the stream is the node's serial line.
    pub(crate) fn start(machine: &Machine) -> Result<(Self, UnixStream)> {
        let (host_end, node_end) = UnixStream::pair().context("create the serial line")?;
        let mut command = command(machine, node_end.into())?;
        let log = File::create(&machine.console_log)
            .with_context(|| format!("create {}", machine.console_log.display()))?;
        let (started, start) = mpsc::channel();
        // The parent-death signal is tied to the thread that spawns: this one lives as long as the kernel.
        thread::spawn(move || {
            let spawned = command.spawn();
            drop(command);
            supervise(spawned, &started);
        });
        let (pidfd, mut stderr) = start.recv().context("the kernel's thread ended")??;
        let console = thread::spawn(move || {
            let mut log = log;
            // When the log's disk is full the kernel is better off without a reader than without a pipe.
            drop(std::io::copy(&mut stderr, &mut log));
        });
        Ok((Self { pidfd, console: Some(console) }, host_end))
    }

    /// Waits for the kernel's own end; returns whether it came within `deadline`.
    pub(crate) fn ends_within(&self, deadline: &Timespec) -> Result<bool> {
        let mut events = [PollFd::new(&self.pidfd, PollFlags::IN)];
        Ok(poll(&mut events, Some(deadline)).context("wait for the kernel's end")? > 0)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // It can have ended already.
        if let Err(errno) = pidfd_send_signal(&self.pidfd, Signal::KILL) {
            debug_assert_eq!(errno, rustix::io::Errno::SRCH);
        }
        if let Some(console) = self.console.take() {
            drop(console.join());
        }
    }
}

type Started = Result<(OwnedFd, std::process::ChildStderr)>;

fn supervise(spawned: std::io::Result<Child>, started: &mpsc::Sender<Started>) {
    let mut child = match spawned.context("start setpriv, which starts the kernel") {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    let parts =
        pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).context("open the kernel's pidfd").and_then(
            |pidfd| Ok((pidfd, child.stderr.take().ok_or_else(|| anyhow!("the console has no pipe"))?)),
        );
    drop(started.send(parts));
    drop(child.wait());
}

fn command(machine: &Machine, serial: OwnedFd) -> Result<Command> {
    let hostfs = |path: &Path| format!("{HOSTFS_ROOT}{}", path.display());
    let scratch_bytes = machine.memory + machine.memory / 2;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", include_str!("../../guest/start-uml.sh"), "start-uml"])
        .arg(&machine.kernel)
        .arg(scratch_bytes.to_string())
        .args(machine.execution)
        .arg(format!("mem={}M", machine.memory >> 20))
        .arg(format!("ubd0=/tmp/root.cow,{}", hostfs(&machine.image)))
        .args(["root=/dev/ubda", "rootfstype=ext4", "rootflags=noinit_itable", "rw", "init=/sbin/node-agent"])
        .args(["con=null", "con0=null,fd:2", "ssl=null", "ssl0=fd:0,fd:1"])
        .args(["umid=node", "uml_dir=/tmp", "security=apparmor", "quiet", "--", "/dev/ttyS0"])
        // The terminal's signals are for the person's program, not for the kernel.
        .process_group(0)
        .stdin(Stdio::from(serial.try_clone().context("duplicate the serial line")?))
        .stdout(Stdio::from(serial))
        .stderr(Stdio::piped());
    Ok(command)
}
