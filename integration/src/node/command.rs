//! A command on the node, built and run the way `std::process::Command` is.

use std::io::{Read, Write};
use std::sync::mpsc::Receiver;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::channel::Channel;
use super::protocol::{CHUNK_BYTES, Ending, Event, Launch, Request, SessionId, WindowSize};

/// A command to run on the node, as root, with the node's environment.
#[derive(Debug)]
pub struct NodeCommand {
    channel: Channel,
    launch: Launch,
    stdin: Vec<u8>,
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOutput {
    /// How it ended.
    pub ending: Ending,
    /// Its standard output; not UTF-8 is shown as replacement characters.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl NodeOutput {
    /// Exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.ending == Ending::Code(0)
    }
}

impl NodeCommand {
    pub(crate) fn new(channel: Channel, argv: Vec<String>) -> Self {
        let launch = Launch { argv, environment: Vec::new(), directory: None, terminal: None };
        Self { channel, launch, stdin: Vec::new() }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.launch.environment.push((key.into(), value.into()));
        self
    }

    /// Sets the working directory, a path on the node.
    #[must_use]
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.launch.directory = Some(path.into());
        self
    }

    /// Sets what the command reads from its standard input (nothing, without this).
    #[must_use]
    pub fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = content.into();
        self
    }

    /// Runs the command on a terminal of its own.
    #[must_use]
    pub fn terminal(mut self, size: WindowSize) -> Self {
        self.launch.terminal = Some(size);
        self
    }

    /// Runs it and collects its output; a command that fails is not an error here.
    ///
    /// # Errors
    /// When it could not be started or the node died.
    pub fn output(self) -> Result<NodeOutput> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ending = self.stream(&mut stdout, &mut stderr)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(NodeOutput { ending, stdout: text(stdout), stderr: text(stderr) })
    }

    /// Runs it and returns its standard output.
    ///
    /// # Errors
    /// When it did not exit with 0, with its standard error; when the node died.
    pub fn run(self) -> Result<String> {
        let shown = self.launch.argv.join(" ");
        let output = self.output()?;
        if !output.success() {
            bail!("`{shown}` on the node: {:?}\n{}{}", output.ending, output.stderr, output.stdout);
        }
        Ok(output.stdout)
    }

    /// Runs it and copies its output while it runs.
    ///
    /// # Errors
    /// When it could not be started, the node died, or a copy could not be written.
    pub fn stream(mut self, stdout: &mut impl Write, stderr: &mut impl Write) -> Result<Ending> {
        let content = std::mem::take(&mut self.stdin);
        let session = self.start()?;
        session.input().send_all(&content)?;
        session.input().end()?;
        session.copy_output(stdout, stderr)
    }

    /// Starts it; its input stays open.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn start(self) -> Result<Session> {
        let shown = self.launch.argv.join(" ");
        let (id, events) = self.channel.launch(self.launch)?;
        Ok(Session { input: SessionInput { id, channel: self.channel }, events, shown })
    }
}

/// A command that runs on the node.
#[derive(Debug)]
pub struct Session {
    input: SessionInput,
    events: Receiver<Event>,
    shown: String,
}

impl Session {
    /// The way in; may be used from another thread.
    #[must_use]
    pub fn input(&self) -> SessionInput {
        self.input.clone()
    }

    /// Copies output until the command has ended.
    ///
    /// # Errors
    /// When it could not be started, the node died, or a copy could not be written.
    pub fn copy_output(self, stdout: &mut impl Write, stderr: &mut impl Write) -> Result<Ending> {
        loop {
            let event = self.events.recv();
            match event.with_context(|| format!("the node died while it ran `{}`", self.shown))? {
                Event::Stdout(_, data) => {
                    stdout.write_all(&data).and_then(|()| stdout.flush()).context("copy standard output")?;
                }
                Event::Stderr(_, data) => {
                    stderr.write_all(&data).and_then(|()| stderr.flush()).context("copy standard error")?;
                }
                Event::Ended(_, Ending::NotStarted(reason)) => bail!("on the node: {reason}"),
                Event::Ended(_, ending) => return Ok(ending),
                Event::Ready | Event::BootFailed(_) | Event::Consumed(_) => {}
            }
        }
    }
}

/// The way into a running command.
#[derive(Clone, Debug)]
pub struct SessionInput {
    id: SessionId,
    channel: Channel,
}

impl SessionInput {
    /// Sends bytes to the command's standard input.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn send_all(&self, content: &[u8]) -> Result<()> {
        content
            .chunks(CHUNK_BYTES)
            .try_for_each(|chunk| self.channel.send(&Request::Stdin(self.id, chunk.to_vec())))
    }

    /// Closes the command's standard input.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn end(&self) -> Result<()> {
        self.channel.send(&Request::StdinEnd(self.id))
    }

    /// Tells the command's terminal its new size.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.channel.send(&Request::Resize(self.id, size))
    }

    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.channel.send(&Request::Signal(self.id, signal.as_raw()))
    }

    /// Feeds the command from `source` until it ends, in a thread of its own.
    pub fn feed_from(&self, mut source: impl Read + Send + 'static) {
        let input = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; CHUNK_BYTES];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                if input.send_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            drop(input.end());
        });
    }
}
