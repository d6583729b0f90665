//! One container's view while it lives: its texts, served.

use super::serve::{Connections, FuseMount, Server};
use super::texts::ContainerTexts;
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
    trees: ViewTrees,
    texts: ContainerTexts,
}

/// The file systems of a view that is served, as trees to be mounted.
#[derive(Debug)]
pub(crate) struct ViewTrees {
    pub(crate) live: Option<OwnedFd>,
    pub(crate) lasting: Option<OwnedFd>,
}

impl View {
    pub(crate) fn serve(mounts: ViewMounts, texts: ContainerTexts) -> Result<Self, CallError> {
        let (live, live_tree) = mounts.live.map(FuseMount::into_parts).unzip();
        let (lasting, lasting_tree) = mounts.lasting.map(FuseMount::into_parts).unzip();
        let server = Server::start(Connections { live, lasting }, texts.clone())?;
        Ok(Self { server, trees: ViewTrees { live: live_tree, lasting: lasting_tree }, texts })
    }

    /// What it shows, for others who show the same.
    pub(crate) fn texts(&self) -> &ContainerTexts {
        &self.texts
    }

    pub(crate) fn trees(&self) -> &ViewTrees {
        &self.trees
    }

    /// The same file systems as other trees: those that were mounted once cannot be again on every kernel.
    pub(crate) fn new_trees(&self) -> Result<ViewTrees, CallError> {
        let (live, lasting) = self.server.mount_again()?;
        Ok(ViewTrees { live, lasting })
    }

    /// Has readers see at once what an update of the container changed.
    pub(crate) fn updated(&self) {
        self.server.invalidate();
    }
}
