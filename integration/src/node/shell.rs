//! A person's or a script's own terminal and streams, connected to a command on the node.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::{Handle, Signals};

use super::Node;
use super::command::{NodeCommand, Session, SessionInput};
use super::protocol::{Ending, WindowSize};

/// Runs `command` with this process's standard streams; on a terminal when this process has one.
///
/// # Errors
/// When the command cannot be started or the node dies.
pub fn attach(command: NodeCommand) -> Result<Ending> {
    let stdin = rustix::stdio::stdin();
    let interactive = rustix::termios::isatty(stdin) && rustix::termios::isatty(rustix::stdio::stdout());
    if !interactive {
        return copy(command.start()?);
    }
    // Before the first look at the size, so that no change is missed.
    let changes = Signals::new([SIGWINCH]).context("watch the terminal's size")?;
    let raw = RawTerminal::enter(stdin.try_clone_to_owned().context("duplicate the terminal")?)?;
    let session = command.terminal(window_size()?).start()?;
    let forwarder = SizeForwarder::start(changes, session.input());
    let ending = copy(session);
    drop((forwarder, raw));
    ending
}

/// An interactive shell on the node.
///
/// # Errors
/// When the node dies.
pub fn shell(node: &Node) -> Result<Ending> {
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    attach(node.command(["bash", "-i"]).env("TERM", term).env("PS1", r"\u@\h:\w\$ ").directory("/root"))
}

fn copy(session: Session) -> Result<Ending> {
    let stdin = rustix::stdio::stdin().try_clone_to_owned().context("duplicate standard input")?;
    session.input().feed_from(File::from(stdin));
    session.copy_output(&mut io::stdout(), &mut io::stderr())
}

fn window_size() -> Result<WindowSize> {
    let size = tcgetwinsize(rustix::stdio::stdout()).context("read the terminal's size")?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Tells the node each new size of the terminal, until dropped.
struct SizeForwarder {
    changes: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SizeForwarder {
    fn start(mut changes: Signals, session: SessionInput) -> Self {
        let handle = changes.handle();
        let thread = thread::spawn(move || {
            for _ in changes.forever() {
                // A terminal or a node that is gone is noticed by whoever copies.
                if let Ok(size) = window_size() {
                    drop(session.resize(size));
                }
            }
        });
        Self { changes: handle, thread: Some(thread) }
    }
}

impl Drop for SizeForwarder {
    fn drop(&mut self) {
        self.changes.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The terminal in raw mode: keys such as Ctrl-C go to the node. Dropping it restores the terminal.
struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    fn enter(terminal: OwnedFd) -> Result<Self> {
        let before = tcgetattr(terminal.as_fd()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal.as_fd(), OptionalActions::Now, &raw).context("make the terminal raw")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Err(errno) = tcsetattr(self.terminal.as_fd(), OptionalActions::Now, &self.before) {
            eprintln!("restore the terminal's settings: {errno}");
        }
    }
}
