//! Copies between a process's terminal and the client's FIFOs, on the event loop. Must not know whose terminal it is.
//!
//! The FIFOs' other ends are held by the shim, so that a client that goes away and comes back finds its terminal:
//! meanwhile the copy waits, and the process does when the terminal's own buffer is full.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    io::Errno,
    termios::{SpecialCodeIndex, Winsize},
};
use tokio::{task::JoinHandle, time::timeout};

use super::{IoError, stream::Stream};

/// What is read of a client's input at once: as much as a terminal takes.
const INPUT_BYTES: usize = 4096;
/// What goes to the client at once. A read of a terminal returns 4 KiB at most, but each write to a FIFO may wake its reader, so
/// reads are passed on together as long as the process, whose buffer they empty, keeps up.
const OUTPUT_BYTES: usize = 32 << 10;

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Number of lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The shim's side of a process's terminal, with the copies that serve it.
#[derive(Debug)]
pub(super) struct Terminal {
    master: Arc<Stream>,
    copies: Mutex<Copies>,
}

#[derive(Debug)]
struct Copies {
    input: Option<JoinHandle<()>>,
    output: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts to copy. `stdout` of `None` discards what the process writes. After `ended`, which is the process's end,
    /// the output that is there is still copied, but what others write to the terminal later is not.
    pub(super) fn start(
        master: OwnedFd,
        stdin: Option<OwnedFd>,
        stdout: Option<OwnedFd>,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, IoError> {
        let master = Arc::new(Stream::new(master)?);
        let stdin = stdin.map(Stream::new).transpose()?;
        let stdout = stdout.map(Stream::new).transpose()?;
        let input = stdin.map(|stdin| tokio::spawn(copy_input(stdin, Arc::clone(&master))));
        let output = Some(tokio::spawn(copy_output(Arc::clone(&master), stdout, ended)));
        Ok(Self { master, copies: Mutex::new(Copies { input, output }) })
    }

    pub(super) fn resize(&self, size: TerminalSize) -> Result<(), IoError> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.master.descriptor(), size)
            .map_err(IoError::call("ioctl(TIOCSWINSZ)", "the terminal"))
    }

    /// Waits until the output is copied, for at most `bound`, and ends both copies.
    pub(super) async fn finish(&self, bound: Duration) {
        let (input, output) = {
            let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
            (copies.input.take(), copies.output.take())
        };
        if let Some(input) = input {
            input.abort();
        }
        if let Some(mut output) = output
            && timeout(bound, &mut output).await.is_err()
        {
            tracing::warn!(seconds = bound.as_secs(), "terminal output lost: nobody took it in time");
            output.abort();
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for copy in [self.input.take(), self.output.take()].into_iter().flatten() {
            copy.abort();
        }
    }
}

async fn copy_output(master: Arc<Stream>, stdout: Option<Stream>, ended: impl Future<Output = ()>) {
    let mut buffer = vec![0; OUTPUT_BYTES];
    let mut sink = Sink(stdout);
    tokio::pin!(ended);
    loop {
        let read = tokio::select! {
            biased;
            read = master.read_burst(&mut buffer) => read,
            () = &mut ended => break,
        };
        match read {
            // EIO: no process has the terminal open any more.
            Ok(0) | Err(_) => return,
            Ok(length) => sink.write(&buffer[..length]).await,
        }
    }
    // The kernel has passed on all that the process wrote by the time that a read finds nothing.
    while let Ok(length @ 1..) = master.read_ready(&mut buffer) {
        sink.write(&buffer[..length]).await;
    }
}

/// Where output goes; nowhere once that has failed, so that the process is not held up by it.
struct Sink(Option<Stream>);

impl Sink {
    async fn write(&mut self, bytes: &[u8]) {
        let Some(stream) = &self.0 else { return };
        if let Err(error) = stream.write_all(bytes).await {
            tracing::warn!(%error, "terminal output is discarded from here on");
            self.0 = None;
        }
    }
}

async fn copy_input(stdin: Stream, master: Arc<Stream>) {
    let mut buffer = [0; INPUT_BYTES];
    loop {
        let length = match stdin.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                tracing::warn!(%error, "read terminal input");
                return;
            }
        };
        match master.write_all(&buffer[..length]).await {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return,
            Err(error) => {
                tracing::warn!(%error, "write terminal input");
                return;
            }
        }
    }
    end_input(&master).await;
}

/// Tells the process that its input has ended. A terminal has no other end of input than this character; hanging up
/// instead would lose output. A process that has turned line editing off sees the character itself.
async fn end_input(master: &Stream) {
    let Ok(termios) = rustix::termios::tcgetattr(master.descriptor()) else { return };
    let end_of_file = termios.special_codes[SpecialCodeIndex::VEOF];
    if let Err(error) = master.write_all(&[end_of_file]).await {
        tracing::debug!(%error, "end terminal input");
    }
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
