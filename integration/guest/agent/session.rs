//! One command of the host's: its process, its streams, its end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use ballast_integration::node::protocol::{
    CHUNK_BYTES, Ending, Event, Launch, Request, SessionId, WindowSize,
};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::serve::Events;

/// A running session, as the request loop sees it.
struct Live {
    process: Pid,
    /// Dropped when the host closed standard input.
    input: Option<Sender<Vec<u8>>>,
    /// The master side, when the session has a terminal.
    terminal: Option<Arc<OwnedFd>>,
}

/// All running sessions.
pub(crate) struct Sessions {
    events: Events,
    path: String,
    live: Arc<Mutex<HashMap<SessionId, Live>>>,
}

impl Sessions {
    pub(crate) fn new(events: Events, path: String) -> Self {
        Self { events, path, live: Arc::default() }
    }

    /// Acts on one request. A session that has ended meanwhile is not an error: the host learns of it by its event.
    pub(crate) fn handle(&self, request: Request) {
        match request {
            Request::Launch(id, launch) => self.launch(id, &launch),
            Request::Stdin(id, data) => self.with(id, |live| {
                if let Some(input) = &live.input {
                    // Fails when the process closed its standard input, which is its right.
                    drop(input.send(data));
                }
            }),
            Request::StdinEnd(id) => self.with(id, |live| live.input = None),
            Request::Resize(id, size) => self.with(id, |live| {
                if let Some(Err(errno)) = live.terminal.as_ref().map(|terminal| set_size(&**terminal, size)) {
                    eprintln!("node-agent: resize session {id}: {errno}");
                }
            }),
            Request::Signal(id, number) => self.with(id, |live| signal_group(live.process, number)),
            Request::Boot(_) | Request::PowerOff => {}
        }
    }

    fn with(&self, id: SessionId, act: impl FnOnce(&mut Live)) {
        if let Some(live) = self.live.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id) {
            act(live);
        }
    }

    fn launch(&self, id: SessionId, launch: &Launch) {
        match self.start(id, launch) {
            Ok((mut child, streams)) => {
                let (events, live) = (self.events.clone(), Arc::clone(&self.live));
                thread::spawn(move || {
                    let status = child.wait();
                    for stream in streams {
                        drop(stream.join());
                    }
                    live.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    events.send(&Event::Ended(
                        id,
                        status.map_or_else(|error| Ending::NotStarted(error.to_string()), ending),
                    ));
                });
            }
            Err(error) => self.events.send(&Event::Ended(id, Ending::NotStarted(format!("{error:#}")))),
        }
    }

    /// Starts the process and the threads that carry its output.
    fn start(&self, id: SessionId, launch: &Launch) -> Result<(Child, Vec<thread::JoinHandle<()>>)> {
        let mut command = self.command(launch)?;
        let terminal = launch.terminal.map(Terminal::open).transpose()?;
        match &terminal {
            Some(terminal) => {
                command.stdin(terminal.slave()?).stdout(terminal.slave()?).stderr(terminal.slave()?);
            }
            None => {
                command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            }
        }
        let mut child = command.spawn().with_context(|| format!("start `{}`", launch.argv.join(" ")))?;
        // Ours are the slave's only descriptors outside the session: with them open its end would never be seen.
        drop(command);
        let master = terminal.map(|terminal| Arc::new(terminal.master));
        let (sender, receiver) = mpsc::channel();
        let mut streams = Vec::new();
        if let Some(master) = &master {
            let (reader, writer) = (File::from(master.try_clone()?), File::from(master.try_clone()?));
            feed(writer, receiver);
            streams.push(self.carry(reader, move |data| Event::Stdout(id, data)));
        } else {
            if let Some(stdin) = child.stdin.take() {
                feed(stdin, receiver);
            }
            if let Some(stdout) = child.stdout.take() {
                streams.push(self.carry(stdout, move |data| Event::Stdout(id, data)));
            }
            if let Some(stderr) = child.stderr.take() {
                streams.push(self.carry(stderr, move |data| Event::Stderr(id, data)));
            }
        }
        let live = Live { process: Pid::from_child(&child), input: Some(sender), terminal: master };
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(id, live);
        Ok((child, streams))
    }

    fn command(&self, launch: &Launch) -> Result<Command> {
        let (program, arguments) = launch.argv.split_first().context("an empty command line")?;
        let mut command = if launch.terminal.is_some() {
            // A process can only take a controlling terminal for itself, after fork: util-linux does it.
            let mut command = Command::new("setsid");
            command.args(["--ctty", "--wait", program]);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", "/root")
            .env("USER", "root")
            .env("LANG", "C.UTF-8")
            .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///run/containerd/containerd.sock")
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(launch.directory.as_deref().unwrap_or("/"));
        Ok(command)
    }

    fn carry(
        &self,
        mut from: impl Read + Send + 'static,
        event: impl Fn(Vec<u8>) -> Event + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let events = self.events.clone();
        thread::spawn(move || {
            let mut buffer = [0; CHUNK_BYTES];
            // A terminal's master side ends with EIO when the last slave is closed.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                events.send(&event(buffer[..count].to_vec()));
            }
        })
    }
}

/// Writes what arrives until the host closes it or the process no longer reads.
fn feed(mut to: impl Write + Send + 'static, from: Receiver<Vec<u8>>) {
    thread::spawn(move || {
        for data in from {
            if to.write_all(&data).is_err() {
                return;
            }
        }
    });
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::NotStarted(format!("unexpected {status}")),
    }
}

fn signal_group(process: Pid, number: i32) {
    let Some(signal) = Signal::from_named_raw(number) else {
        eprintln!("node-agent: no signal has the number {number}");
        return;
    };
    if let Err(errno) = rustix::process::kill_process_group(process, signal) {
        eprintln!("node-agent: signal {number} to {process:?}: {errno}");
    }
}

fn set_size(terminal: impl AsFd, size: WindowSize) -> rustix::io::Result<()> {
    tcsetwinsize(terminal, Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 })
}

/// A new pseudo terminal.
struct Terminal {
    master: OwnedFd,
    slave: File,
}

impl Terminal {
    fn open(size: WindowSize) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .context("open a terminal")?;
        grantpt(&master).context("grant the terminal")?;
        unlockpt(&master).context("unlock the terminal")?;
        let name = ptsname(&master, Vec::new()).context("name the terminal")?;
        let path = name.to_string_lossy().into_owned();
        let slave =
            File::options().read(true).write(true).open(&path).with_context(|| format!("open {path}"))?;
        set_size(&master, size).context("size the terminal")?;
        Ok(Self { master, slave })
    }

    fn slave(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.slave.try_clone().context("duplicate the terminal")?))
    }
}
