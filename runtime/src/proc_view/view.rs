//! One container's view while it lives: its texts, served.

use super::serve::{Connections, FuseMount, Server};
use super::texts::ContainerTexts;
use super::{ShownFile, ViewDescription};
use crate::error::CallError;
use rustix::fd::OwnedFd;

/// The file systems of a view, mounted nowhere yet.
#[derive(Debug, Default)]
pub(crate) struct ViewMounts {
    /// Files whose text is made for each reader.
    pub(crate) live: Option<FuseMount>,
    /// Files that change only on an update.
    pub(crate) lasting: Option<FuseMount>,
}

/// A view that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct View {
    server: Server,
    /// Held so that the kernel takes the file systems apart when this is dropped, and not in the exit of the container's last
    /// process, which would wait for it.
    _trees: [Option<OwnedFd>; 2],
    texts: ContainerTexts,
    files: Vec<ShownFile>,
}

impl View {
    /// Serves mounts; `files` are all that the container is shown, by whatever mechanism.
    pub(crate) fn serve(
        mounts: ViewMounts,
        texts: ContainerTexts,
        files: Vec<ShownFile>,
    ) -> Result<Self, CallError> {
        let (live, live_tree) = mounts.live.map(FuseMount::into_parts).unzip();
        let (lasting, lasting_tree) = mounts.lasting.map(FuseMount::into_parts).unzip();
        let server = Server::start(Connections { live, lasting }, texts.clone())?;
        Ok(Self { server, _trees: [live_tree, lasting_tree], texts, files })
    }

    pub(crate) fn describe(&self) -> ViewDescription {
        let counters = self.texts().counters();
        ViewDescription {
            files: self.files.clone(),
            reads: counters.reads(),
            fallbacks: counters.fallbacks(),
        }
    }

    /// What it shows, for others who show the same.
    pub(crate) fn texts(&self) -> &ContainerTexts {
        &self.texts
    }

    /// Has readers see at once what an update of the container changed.
    pub(crate) fn updated(&self) {
        self.server.invalidate();
    }
}
