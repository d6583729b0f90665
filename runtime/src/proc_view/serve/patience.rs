//! How often the thread looks for a reader's next request before it sleeps. Must not know what the requests are.
//!
//! A reader asks several times for one file: to open it, for its text, for its end. Each follows within microseconds of the answer
//! before, and to wake a thread on a CPU that went idle meanwhile takes several times as long as the answer itself. So the thread
//! looks again for a moment, and gives that up where it does not help: with one CPU nobody can ask while it looks, and on a busy
//! machine the reader has to wait for its turn.

use rustix::thread::sched_getaffinity;

/// Looks in a row. One is a `read(2)` that finds nothing, a quarter of a microsecond: together as long as it takes a reader on an
/// idle CPU to wake and ask again, twice over.
const LOOKS_MAX: u32 = 64;
/// Times that the thread sleeps at once before it tries looking again.
const RESTS: u32 = 64;

/// What experience tells about looking.
#[derive(Debug)]
pub(super) struct Patience {
    looks_max: u32,
    looks: u32,
    rests: u32,
}

impl Patience {
    /// For this process: none where it may run on one CPU only.
    pub(super) fn of_this_process() -> Self {
        // Not the standard library's, which reads cgroups and mounts for it.
        let cpus = sched_getaffinity(None).map_or(1, |cpus| cpus.count());
        Self::new(if cpus > 1 { LOOKS_MAX } else { 0 })
    }

    fn new(looks_max: u32) -> Self {
        Self { looks_max, looks: looks_max, rests: 0 }
    }

    /// How often to look now, for a request that is expected.
    pub(super) fn looks(&mut self) -> u32 {
        if self.looks == 0 && self.rests == 0 {
            self.looks = self.looks_max;
        }
        self.rests = self.rests.saturating_sub(1);
        self.looks
    }

    /// It came while the thread looked.
    pub(super) fn rewarded(&mut self) {
        self.looks = self.looks_max;
    }

    /// It did not.
    pub(super) fn disappointed(&mut self) {
        self.looks /= 2;
        if self.looks == 0 {
            self.rests = RESTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_stays_as_long_as_it_helps() {
        let mut patience = Patience::new(64);
        for _ in 0..1000 {
            assert_eq!(patience.looks(), 64);
            patience.rewarded();
        }
        patience.disappointed();
        assert_eq!(patience.looks(), 32);
        patience.rewarded();
        assert_eq!(patience.looks(), 64);
    }

    #[test]
    fn looking_in_vain_becomes_rare() {
        let mut patience = Patience::new(64);
        let mut looked = 0;
        for _ in 0..1000 {
            let looks = patience.looks();
            looked += looks;
            if looks > 0 {
                patience.disappointed();
            }
        }
        assert!((64..3000).contains(&looked), "{looked} looks for 1000 requests");
    }

    #[test]
    fn with_one_cpu_nobody_looks() {
        let mut patience = Patience::new(0);
        for _ in 0..1000 {
            assert_eq!(patience.looks(), 0);
        }
    }
}
