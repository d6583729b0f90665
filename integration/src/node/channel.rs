//! The host's end of the stream to the node's agent: sends requests, hands each session its events.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use super::protocol::{
    BootConfig, Event, Launch, Request, SessionId, read_frame, skip_to_preamble, write_frame,
};

/// Sends requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Channel {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    routes: Arc<Mutex<Routes>>,
    next: Arc<AtomicU32>,
}

/// Where events go.
struct Routes {
    /// `None` once the node is gone.
    sessions: Option<HashMap<SessionId, Sender<Event>>>,
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
        let channel = Self {
            writer: Arc::new(Mutex::new(Box::new(writer))),
            routes: Arc::new(Mutex::new(Routes { sessions: Some(HashMap::new()) })),
            next: Arc::default(),
        };
        channel.send(&Request::Boot(boot))?;
        match read_frame(&mut reader).context("the node's agent ended while it booted")? {
            Event::Ready => {}
            Event::BootFailed(reason) => bail!("the node's agent reports: {reason}"),
            other => bail!("the node's agent began with {other:?}"),
        }
        let routes = Arc::clone(&channel.routes);
        thread::spawn(move || dispatch(&mut reader, &routes));
        Ok(channel)
    }

    /// Starts a session.
    ///
    /// # Errors
    /// When the node is gone.
    pub(crate) fn launch(&self, launch: Launch) -> Result<(SessionId, Receiver<Event>)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel();
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.sessions.as_mut().ok_or_else(|| anyhow!("the node is gone"))?.insert(id, sender);
        drop(routes);
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

/// Hands out events until the stream ends; sessions then find their channel closed.
fn dispatch(reader: &mut impl Read, routes: &Mutex<Routes>) {
    while let Ok(event) = read_frame::<Event>(reader) {
        let mut routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sessions) = routes.sessions.as_mut() else { return };
        // A session whose receiver was dropped is one that nobody watches any more.
        match &event {
            Event::Ended(id, _) => drop(sessions.remove(id).map(|session| session.send(event))),
            Event::Stdout(id, _) | Event::Stderr(id, _) => {
                drop(sessions.get(id).map(|session| session.send(event)));
            }
            Event::Ready | Event::BootFailed(_) => {}
        }
    }
    routes.lock().unwrap_or_else(PoisonError::into_inner).sessions = None;
}
