//! The process tree that is a node, whatever kind: started with the stream to its agent, ended as a whole. Knows not
//! what runs inside.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A running node's processes. Dropping it kills all of them and returns when they are gone.
#[derive(Debug)]
pub(crate) struct Machine {
    pidfd: OwnedFd,
    /// Ends when the last process that could print has ended.
    console: Option<JoinHandle<()>>,
}

impl Machine {
    /// Starts `command`, which must set its own parent-death signal; the stream is its standard input and output.
    /// What it prints on standard error goes to `console_log`.
    pub(crate) fn start(mut command: Command, console_log: &Path) -> Result<(Self, UnixStream)> {
        let (host_end, node_end) = UnixStream::pair().context("create the stream to the node")?;
        let node_end = OwnedFd::from(node_end);
        command
            .stdin(Stdio::from(node_end.try_clone().context("duplicate the stream to the node")?))
            .stdout(Stdio::from(node_end))
            .stderr(Stdio::piped())
            // The terminal's signals are for the person's program, not for the node.
            .process_group(0);
        let log = File::create(console_log).with_context(|| format!("create {}", console_log.display()))?;
        let (started, start) = mpsc::channel();
        // The parent-death signal is tied to the thread that spawns: this one lives as long as the node.
        thread::spawn(move || {
            let spawned = command.spawn();
            drop(command);
            supervise(spawned, &started);
        });
        let (pidfd, mut stderr) = start.recv().context("the node's thread ended")??;
        let console = thread::spawn(move || {
            let mut log = log;
            // When the log's disk is full the node is better off without a reader than without a pipe.
            drop(std::io::copy(&mut stderr, &mut log));
        });
        Ok((Self { pidfd, console: Some(console) }, host_end))
    }

    /// Waits for the node's own end; returns whether it came within `deadline`.
    pub(crate) fn ends_within(&self, deadline: &Timespec) -> Result<bool> {
        let mut events = [PollFd::new(&self.pidfd, PollFlags::IN)];
        Ok(poll(&mut events, Some(deadline)).context("wait for the node's end")? > 0)
    }
}

impl Drop for Machine {
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
    let mut child = match spawned.context("start setpriv, which starts the node") {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    let parts =
        pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).context("open the node's pidfd").and_then(
            |pidfd| Ok((pidfd, child.stderr.take().ok_or_else(|| anyhow!("the console has no pipe"))?)),
        );
    drop(started.send(parts));
    drop(child.wait());
}
