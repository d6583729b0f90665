//! Keeps a container's memory below its marks while it runs: a thread that looks now and then, only for a container that asked.
//!
//! Nothing on mainline tells when page cache or use passes a mark (`memory.high` has another owner), so it is a timer. Looking costs three reads,
//! and reclaiming blocks, hence the thread.

use ballast_cgroups::{Marks, Reclaim, Step};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two looks at a container that is below its marks.
const REST: Duration = Duration::from_secs(1);

/// Between two steps while there is something to reclaim: the kernel's work stays below a third of one CPU.
const BREATH: Duration = Duration::from_millis(50);

/// After the kernel found nothing.
const LONG_REST: Duration = Duration::from_secs(10);

const STACK_BYTES: usize = 64 << 10;

/// The thread, which ends when this is dropped or the cgroup goes.
#[derive(Debug)]
pub(super) struct Reclaimer {
    marks: Marks,
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    bell: Condvar,
}

impl Reclaimer {
    pub(super) fn start(mut reclaim: Reclaim, marks: Marks) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let heard = Arc::clone(&stop);
        // Not joined: it can be in the kernel, reclaiming, and whoever drops it does not wait for that.
        thread::Builder::new().name("reclaim".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let mut pause = REST;
            while !heard.is_asked_within(pause) {
                pause = match reclaim.step() {
                    Ok(Step::Below) => REST,
                    Ok(Step::Reclaimed) => BREATH,
                    Ok(Step::Exhausted) => LONG_REST,
                    // The cgroup is gone.
                    Err(_) => break,
                };
            }
        })?;
        Ok(Self { marks, stop })
    }

    pub(super) fn marks(&self) -> Marks {
        self.marks
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        *self.stop.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.bell.notify_one();
    }
}

impl Stop {
    fn is_asked_within(&self, pause: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(asked, pause, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
