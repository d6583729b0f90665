//! Ctrl-C while suites run: ends what runs, once, so that everything else is cleaned up on the ordinary way out. Knows not
//! what runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

type Stop = Box<dyn Fn() + Send>;

/// Watches for the signals that ask this process to end, until dropped.
pub(super) struct Interrupt {
    signals: Handle,
    thread: Option<JoinHandle<()>>,
    running: Running,
}

/// What is to be stopped; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    stops: BTreeMap<u64, Stop>,
}

/// Something that runs; no longer to be stopped when dropped.
pub(super) struct Registration {
    running: Running,
    number: u64,
}

impl Interrupt {
    pub(super) fn watch() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("watch for signals")?;
        let handle = signals.handle();
        let running = Running::default();
        let watched = running.clone();
        let thread = thread::spawn(move || {
            for _ in signals.forever() {
                watched.stop();
            }
        });
        Ok(Self { signals: handle, thread: Some(thread), running })
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Running {
    /// Stops everything that runs, and lets nothing more begin.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.stops.values().for_each(|stop| stop());
    }

    /// `stop` is called when this is to end, perhaps more than once.
    ///
    /// # Errors
    /// When everything was stopped already.
    pub(super) fn register(&self, stop: impl Fn() + Send + 'static) -> Result<Registration> {
        let mut state = self.lock();
        if state.stopped {
            bail!("interrupted");
        }
        let number = state.next;
        state.next += 1;
        state.stops.insert(number, Box::new(stop));
        Ok(Registration { running: self.clone(), number })
    }

    /// # Errors
    /// When everything was stopped.
    pub(super) fn check(&self) -> Result<()> {
        if self.lock().stopped {
            bail!("interrupted");
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.running.lock().stops.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_runs_is_stopped_and_what_has_ended_is_not() {
        let running = Running::default();
        let stopped = Arc::new(AtomicU32::new(0));
        let count = |weight: u32| {
            let stopped = Arc::clone(&stopped);
            move || {
                stopped.fetch_add(weight, Ordering::Relaxed);
            }
        };
        drop(running.register(count(10)).unwrap());
        let registered = running.register(count(1)).unwrap();
        running.stop();
        assert_eq!(stopped.load(Ordering::Relaxed), 1);
        drop(registered);
    }

    #[test]
    fn nothing_begins_after_an_interruption() {
        let running = Running::default();
        assert!(running.check().is_ok());
        running.stop();
        assert!(running.check().is_err());
        assert!(running.register(|| ()).is_err());
    }
}
