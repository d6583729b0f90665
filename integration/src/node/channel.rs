//! The host's end of the stream to the node's agent: sends requests, hands each session its events.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use super::protocol::{
    BootConfig, Event, Launch, Request, SessionId, WINDOW_BYTES, read_frame, skip_to_preamble, write_frame,
};

/// Sends requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Channel {
    writer: Arc<Mutex<WindowedWriter>>,
    routes: Arc<Routes>,
    next: Arc<AtomicU32>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Channel").finish_non_exhaustive()
    }
}

impl Channel {
    /// Waits for the agent on the other end, has it boot, and returns when it serves.
    ///
    /// # Errors
    /// When the stream ends first, or the agent reports why the node cannot come up.
    pub(crate) fn connect(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        boot: BootConfig,
    ) -> Result<Self> {
        let mut reader = BufReader::new(reader);
        skip_to_preamble(&mut reader).context("the node's kernel ended before its agent spoke")?;
        let routes = Arc::new(Routes::default());
        let writer = WindowedWriter { stream: Box::new(writer), routes: Arc::clone(&routes) };
        let channel =
            Self { writer: Arc::new(Mutex::new(writer)), routes: Arc::clone(&routes), next: Arc::default() };
        let (boot_outcome, outcome) = mpsc::channel();
        thread::spawn(move || dispatch(&mut reader, &routes, &boot_outcome));
        channel.send(&Request::Boot(boot))?;
        match outcome.recv().context("the node's agent ended while it booted")? {
            Event::BootFailed(reason) => bail!("the node's agent reports: {reason}"),
            _ => Ok(channel),
        }
    }

    /// Starts a session.
    ///
    /// # Errors
    /// When the node is gone.
    pub(crate) fn launch(&self, launch: Launch) -> Result<(SessionId, Receiver<Event>)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel();
        {
            let mut state = self.routes.lock();
            if state.closed {
                bail!("the node is gone");
            }
            state.sessions.insert(id, sender);
        }
        self.send(&Request::Launch(id, launch))?;
        Ok((id, events))
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the node is gone.
    pub(crate) fn send(&self, request: &Request) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        write_frame(&mut *writer, request).context("send a request to the node")
    }
}

/// What the event thread and the senders share.
#[derive(Default)]
struct Routes {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Sender<Event>>,
    /// Written and not yet read by the node.
    bytes_under_way: usize,
    /// The node is gone.
    closed: bool,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.sessions.clear();
        self.changed.notify_all();
    }
}

/// Keeps at most [`WINDOW_BYTES`] on the way.
struct WindowedWriter {
    stream: Box<dyn Write + Send>,
    routes: Arc<Routes>,
}

impl Write for WindowedWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let state = self.routes.lock();
        let full = |state: &mut State| state.bytes_under_way >= WINDOW_BYTES && !state.closed;
        let mut state = self.routes.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the node is gone"));
        }
        let length = buffer.len().min(WINDOW_BYTES - state.bytes_under_way);
        state.bytes_under_way += length;
        drop(state);
        self.stream.write_all(&buffer[..length])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Hands out events until the stream ends; sessions then find their channel closed.
fn dispatch(reader: &mut impl Read, routes: &Routes, boot: &Sender<Event>) {
    while let Ok(event) = read_frame::<Event>(reader) {
        let mut state = routes.lock();
        // A session whose receiver was dropped is one that nobody watches any more.
        match &event {
            Event::Consumed(bytes) => {
                state.bytes_under_way = state.bytes_under_way.saturating_sub(*bytes as usize);
                routes.changed.notify_all();
            }
            Event::Ready | Event::BootFailed(_) => drop(boot.send(event)),
            Event::Ended(id, _) => drop(state.sessions.remove(id).map(|session| session.send(event))),
            Event::Stdout(id, _) | Event::Stderr(id, _) => {
                drop(state.sessions.get(id).map(|session| session.send(event)));
            }
        }
    }
    routes.close();
}
