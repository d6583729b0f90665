//! One container's view while it lives: its texts, served.

use super::ViewFile;
use super::sample::{HostFiles, Origin, SampleError, Sampler};
use super::serve::{FuseMount, Server, Texts};
use crate::error::CallError;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often texts were made, and how often they could not be.
#[derive(Debug, Default)]
pub struct ViewCounters {
    reads: AtomicU64,
    fallbacks: AtomicU64,
}

impl ViewCounters {
    /// Texts that were asked for.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Texts in whose place the host's was shown.
    #[must_use]
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }
}

/// A view that is served until it is dropped.
#[derive(Debug)]
pub(crate) struct View {
    _server: Server,
    /// Held so that the kernel takes the file system apart when this is dropped, and not in the exit of the container's last
    /// process, which would wait for it.
    _tree: OwnedFd,
    counters: Arc<ViewCounters>,
}

impl View {
    pub(crate) fn serve(mount: FuseMount, origin: Origin) -> Result<Self, CallError> {
        let counters = Arc::<ViewCounters>::default();
        let texts = ContainerTexts { origin, sampler: None, counters: Arc::clone(&counters) };
        Ok(Self { _server: Server::start(mount.connection, texts)?, _tree: mount.tree, counters })
    }

    pub(crate) fn counters(&self) -> Arc<ViewCounters> {
        Arc::clone(&self.counters)
    }
}

/// The texts of a container, or the host's where one cannot be made: a program that reads `/proc` rarely bears an error.
struct ContainerTexts {
    origin: Origin,
    /// Made for the first reader.
    sampler: Option<Sampler>,
    counters: Arc<ViewCounters>,
}

impl ContainerTexts {
    fn sample(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), SampleError> {
        let sampler = match &mut self.sampler {
            Some(sampler) => sampler,
            unopened => unopened.insert(Sampler::open(&self.origin)?),
        };
        sampler.write(file, out)
    }
}

impl Texts for ContainerTexts {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        let begin = out.len();
        let Err(_cause) = self.sample(file, out) else { return Ok(()) };
        self.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        out.truncate(begin);
        let mut content = Vec::new();
        match HostFiles::default().read(file, &mut content) {
            Ok(text) => out.extend_from_slice(text.as_bytes()),
            Err(SampleError::Host { errno, .. }) => return Err(errno),
            Err(_) => return Err(Errno::IO),
        }
        Ok(())
    }
}
