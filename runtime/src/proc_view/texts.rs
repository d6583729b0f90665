//! One container's texts, for whoever shows them: the files of its view, and the answers to its `sysinfo` calls.

use super::ViewFile;
use super::figures::CpuList;
use super::sample::{HostFiles, Origin, SampleError, Sampler};
use rustix::io::Errno;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where texts come from.
pub(crate) trait Texts: Send + 'static {
    /// Writes the text of a file at the end of `out`.
    ///
    /// # Errors
    /// What a reader gets.
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno>;

    /// The CPUs that the texts tell of.
    ///
    /// # Errors
    /// What a reader gets.
    fn cpus(&mut self) -> Result<ShownCpus, Errno>;
}

/// What every text about CPUs comes from: none of them changes unless this does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownCpus {
    /// Those of the host that the container may run on.
    pub(crate) allowed: CpuList,
    /// How many it sees.
    pub(crate) count: u32,
}

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

/// The texts of a container, or the host's where one cannot be made: a program that reads `/proc` rarely bears an error.
///
/// Clones share what lasts between two looks, so that all who show them show the same.
#[derive(Debug, Clone)]
pub(crate) struct ContainerTexts {
    source: Arc<Mutex<Source>>,
    counters: Arc<ViewCounters>,
}

#[derive(Debug)]
struct Source {
    origin: Origin,
    /// Made for the first reader.
    sampler: Option<Sampler>,
}

impl ContainerTexts {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { source: Arc::new(Mutex::new(Source { origin, sampler: None })), counters: Arc::default() }
    }

    pub(crate) fn counters(&self) -> Arc<ViewCounters> {
        Arc::clone(&self.counters)
    }

    fn sample<T>(&self, look: impl FnOnce(&mut Sampler) -> Result<T, SampleError>) -> Result<T, SampleError> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let Source { origin, sampler } = &mut *source;
        let sampler = match sampler {
            Some(sampler) => sampler,
            unopened => unopened.insert(Sampler::open(origin)?),
        };
        look(sampler)
    }
}

impl Texts for ContainerTexts {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        let begin = out.len();
        let Err(_cause) = self.sample(|sampler| sampler.write(file, out)) else { return Ok(()) };
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
    fn cpus(&mut self) -> Result<ShownCpus, Errno> {
        if let Ok((allowed, share)) = self.sample(Sampler::cpus) {
            return Ok(ShownCpus { allowed, count: share.count });
        }
        self.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        let mut content = Vec::new();
        let online = HostFiles::default().read(ViewFile::CpusOnline, &mut content);
        let allowed = online.ok().and_then(CpuList::parse).ok_or(Errno::IO)?;
        Ok(ShownCpus { count: allowed.len(), allowed })
    }
}
