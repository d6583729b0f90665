//! One container's view while it lives: its texts, served.

use super::serve::{Directory, Server};
use super::texts::ContainerTexts;
use crate::error::{CallContext, CallError};
use rustix::io::Errno;
use std::sync::{Arc, Mutex, PoisonError};

/// Serves the views of a pod's containers.
pub(crate) type ViewServer = Server<ContainerTexts>;

/// The views of a pod.
#[derive(Debug, Default)]
pub(crate) struct Views(
    /// Started when first needed, and again when it was cut off or is used up.
    Mutex<Option<RunningServer>>,
);

#[derive(Debug)]
struct RunningServer {
    server: Arc<ViewServer>,
    /// A directory whose names the kernel knows already.
    ready: Option<Directory>,
    /// It has served a view, and the kernel lets it serve one only.
    is_used_up: bool,
}

impl RunningServer {
    fn start() -> Result<Self, CallError> {
        Ok(Self { server: Arc::new(ViewServer::start()?), ready: None, is_used_up: false })
    }

    /// A view in a directory of its own; none if the server cannot serve it.
    fn serve(&mut self, texts: &ContainerTexts) -> Option<View> {
        if self.is_used_up || !self.server.serves() {
            return None;
        }
        self.is_used_up = self.server.is_for_one();
        let directory = self.ready.take().or_else(|| self.server.add())?;
        self.server.fill(directory, texts.clone());
        Some(View { server: Arc::clone(&self.server), directory, texts: texts.clone() })
    }
}

impl Views {
    /// Serves a view until it is dropped.
    pub(crate) fn serve(&self, texts: &ContainerTexts) -> Result<View, CallError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = running.as_mut().and_then(|running| running.serve(texts)) {
            return Ok(view);
        }
        // Containers that have their views of the one before keep it.
        let started = running.insert(RunningServer::start()?);
        started.serve(texts).ok_or(Errno::NOTCONN).call("open", || "/dev/fuse".into())
    }

    /// Does now what the first view would have to wait for.
    pub(crate) fn prepare(&self) -> Result<(), CallError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Ok(());
        }
        let started = running.insert(RunningServer::start()?);
        started.ready = started.server.add();
        started.ready.map_or(Ok(()), |directory| started.server.look_up(directory))
    }
}

/// A view that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct View {
    server: Arc<ViewServer>,
    directory: Directory,
    texts: ContainerTexts,
}

impl View {
    /// What it shows, for others who show the same.
    pub(crate) fn texts(&self) -> &ContainerTexts {
        &self.texts
    }

    /// The file systems in which it is.
    pub(crate) fn server(&self) -> &ViewServer {
        &self.server
    }

    /// The name of its directory in both.
    pub(crate) fn directory(&self) -> String {
        self.directory.name()
    }

    /// Has readers see at once what an update of the container changed.
    pub(crate) fn updated(&self) {
        self.server.invalidate(self.directory);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.server.remove(self.directory);
    }
}
