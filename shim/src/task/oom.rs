//! Tells containerd when the kernel killed in a container for want of memory. Must not know why a process ended.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ballast_cgroups::MemoryEventsFile;
use containerd_shim_protos::events::task::TaskOOM;
use tokio::{io::Interest, task::JoinHandle};

use crate::{events::Publisher, readiness};

/// Watches one container's `memory.events` until it is dropped.
#[derive(Debug)]
pub(super) struct OomWatch {
    count: Arc<OomCount>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct OomCount {
    container_id: String,
    publisher: Publisher,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    file: MemoryEventsFile,
    kills: u64,
}

impl OomWatch {
    /// Starts to watch, on the current event loop. To be called while nothing of the container runs yet.
    pub(super) fn start(
        container_id: &str,
        file: MemoryEventsFile,
        publisher: &Publisher,
    ) -> io::Result<Self> {
        let descriptor = readiness::watch(file.as_fd().try_clone_to_owned()?, Interest::PRIORITY)?;
        let known = Mutex::new(Known { file, kills: 0 });
        let count =
            Arc::new(OomCount { container_id: container_id.to_owned(), publisher: publisher.clone(), known });
        // The kernel notifies of changes since the last read.
        count.publish_new_kills();
        let watched = Arc::clone(&count);
        let task = tokio::spawn(async move {
            while let Ok(mut ready) = descriptor.ready(Interest::PRIORITY).await {
                ready.clear_ready();
                watched.publish_new_kills();
            }
        });
        Ok(Self { count, task })
    }

    /// Looks now: the notification of what ended the container may still be on its way.
    pub(super) fn look(&self) {
        self.count.publish_new_kills();
    }

    /// Whether no kill was seen so far.
    pub(super) fn has_seen_none(&self) -> bool {
        self.count.known().kills == 0
    }

    /// Tells of a kill that is known from elsewhere.
    pub(super) fn publish(&self) {
        self.count.publish();
    }

    /// Looks once more.
    pub(super) fn finish(self) {
        self.look();
    }
}

impl Drop for OomWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OomCount {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self) {
        self.publisher.publish(TaskOOM { container_id: self.container_id.clone(), ..TaskOOM::default() });
    }

    fn publish_new_kills(&self) {
        let mut known = self.known();
        match known.file.read() {
            Ok(events) if events.oom_kill > known.kills => {
                known.kills = events.oom_kill;
                self.publish();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(
                    id = self.container_id,
                    error = ballast_runtime::report(&error),
                    "read memory.events"
                );
            }
        }
    }
}
