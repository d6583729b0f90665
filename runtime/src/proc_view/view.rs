//! One container's view while it lives: its texts, served.

use super::sample::Sampler;
use super::serve::{Server, Texts};
use super::{SampleError, ViewFile};
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
    counters: Arc<ViewCounters>,
}

impl View {
    pub(crate) fn serve(connection: OwnedFd, sampler: Sampler) -> Result<Self, CallError> {
        let counters = Arc::<ViewCounters>::default();
        let texts = ContainerTexts { sampler, counters: Arc::clone(&counters) };
        Ok(Self { _server: Server::start(connection, texts)?, counters })
    }

    pub(crate) fn counters(&self) -> Arc<ViewCounters> {
        Arc::clone(&self.counters)
    }
}

/// The texts of a container, or the host's where one cannot be made: a program that reads `/proc` rarely bears an error.
struct ContainerTexts {
    sampler: Sampler,
    counters: Arc<ViewCounters>,
}

impl Texts for ContainerTexts {
    fn write(&mut self, file: ViewFile, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        let begin = out.len();
        let Err(_cause) = self.sampler.write(file, out) else { return Ok(()) };
        self.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        out.truncate(begin);
        self.sampler.write_host(file, out).map_err(|error| match error {
            SampleError::Host { errno, .. } => errno,
            _ => Errno::IO,
        })
    }
}
