//! The views of a pod's containers while these live: their texts, served.

use super::serve::{Directory, Server};
use super::texts::{ContainerTexts, Texts};
use crate::error::{CallContext, CallError};
use rustix::io::Errno;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

/// Serves the views of a pod's containers.
pub(crate) type ViewServer = Server<ContainerTexts>;

/// The views of a pod.
#[derive(Debug, Default)]
pub(crate) struct Views(
    /// Started when first needed, and again when it was cut off or is used up.
    Mutex<Option<Running<ContainerTexts>>>,
);

#[derive(Debug)]
struct Running<T> {
    server: Arc<Server<T>>,
    /// A directory whose names the kernel knows already.
    ready: Option<Directory>,
    /// It has served a view, and the kernel lets it serve one only.
    is_used_up: bool,
}

impl<T: Texts + Clone> Running<T> {
    fn start() -> Result<Self, CallError> {
        Ok(Self { server: Arc::new(Server::start()?), ready: None, is_used_up: false })
    }

    /// Does now what the first view would have to wait for.
    fn prepare(&mut self) -> Result<(), CallError> {
        self.ready = self.server.add();
        self.ready.map_or(Ok(()), |directory| self.server.look_up(directory))
    }

    /// A directory with these texts; none if the server cannot serve it.
    fn place(&mut self, texts: T) -> Option<Directory> {
        if self.is_used_up || !self.server.serves() {
            return None;
        }
        self.is_used_up = self.server.is_for_one();
        let directory = self.ready.take().or_else(|| self.server.add())?;
        self.server.fill(directory, texts);
        Some(directory)
    }
}

impl Views {
    /// Serves a view until it is dropped.
    pub(crate) fn serve(&self, texts: ContainerTexts) -> Result<View, CallError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |running: &mut Running<ContainerTexts>| {
            let directory = running.place(texts.clone())?;
            Some(View { server: Arc::clone(&running.server), directory, texts: texts.clone() })
        };
        if let Some(view) = running.as_mut().and_then(place) {
            return Ok(view);
        }
        // Containers that have their views of the one before keep it.
        place(running.insert(Running::start()?)).ok_or(Errno::NOTCONN).call("open", || "/dev/fuse".into())
    }

    /// Does now what the first view would have to wait for, if there has been none.
    pub(crate) fn prepare(&self) -> Result<(), CallError> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Ok(());
        }
        running.insert(Running::start()?).prepare()
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
    pub(crate) fn directory(&self) -> CString {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_view::figures::CpuList;
    use crate::proc_view::{ShownCpus, ViewFile};

    #[derive(Debug, Clone)]
    struct NoTexts;

    impl Texts for NoTexts {
        fn write(&mut self, _: ViewFile, _: &mut Vec<u8>) -> Result<(), Errno> {
            Ok(())
        }

        fn cpus(&mut self) -> Result<ShownCpus, Errno> {
            Ok(ShownCpus { allowed: CpuList::first(1), count: 1 })
        }
    }

    /// `None` where there is no FUSE or no right to it.
    fn running() -> Option<Running<NoTexts>> {
        match Running::start() {
            Err(error)
                if matches!(error.errno, Errno::NOENT | Errno::NODEV | Errno::PERM | Errno::ACCESS) =>
            {
                None
            }
            running => Some(running.unwrap()),
        }
    }

    #[test]
    fn the_first_view_gets_the_directory_that_is_ready_and_each_one_of_its_own() {
        let Some(mut running) = running() else { return };
        running.prepare().unwrap();
        let ready = running.ready;
        let placed = [(); 3].map(|()| running.place(NoTexts).unwrap());
        assert_eq!((Some(placed[0]), running.ready), (ready, None));
        assert!(placed[0] != placed[1] && placed[1] != placed[2] && placed[0] != placed[2], "{placed:?}");
    }

    #[test]
    fn a_server_whose_tree_can_be_mounted_once_serves_one_view() {
        let Some(mut running) = running() else { return };
        Arc::get_mut(&mut running.server).unwrap().have_one_tree();
        running.prepare().unwrap();
        assert!(running.place(NoTexts).is_some());
        assert!(running.place(NoTexts).is_none());
    }
}
