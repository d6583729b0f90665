//! One container's view while it lives: its texts, served.

use super::serve::{FuseMount, Server};
use super::texts::ContainerTexts;
use crate::error::CallError;
use rustix::fd::OwnedFd;

/// A view that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct View {
    _server: Server,
    /// Held so that the kernel takes the file system apart when this is dropped, and not in the exit of the container's last
    /// process, which would wait for it.
    _tree: OwnedFd,
    texts: ContainerTexts,
}

impl View {
    pub(crate) fn serve(mount: FuseMount, texts: ContainerTexts) -> Result<Self, CallError> {
        Ok(Self { _server: Server::start(mount.connection, texts.clone())?, _tree: mount.tree, texts })
    }

    /// What it shows, for others who show the same.
    pub(crate) fn texts(&self) -> &ContainerTexts {
        &self.texts
    }
}
