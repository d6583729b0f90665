//! Stopping and resuming every process of a cgroup at once: `cgroup.freeze`.

use std::time::Instant;

use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::events::Events;

const FILE: &str = "cgroup.freeze";

impl Cgroup {
    /// Stops every process of the cgroup and of those below it, and waits until they are stopped.
    ///
    /// When they are not at `deadline` (one may be in an uninterruptible call), they are resumed.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`](crate::Error::DeadlineExceeded), or
    /// [`Error::FileMissing`](crate::Error::FileMissing) before Linux 5.2.
    pub fn freeze(&self, deadline: Instant) -> Result<()> {
        self.write(FILE, "1")?;
        let frozen = Events::open(&self.directory)
            .and_then(|mut events| events.wait("frozen", deadline, |state| state.frozen));
        if frozen.is_err() {
            // The error that is worth reporting is the first one; thawing has no state that could be lost.
            drop(self.write(FILE, "0"));
        }
        frozen
    }

    /// Resumes every process of the cgroup and of those below it, and waits until they run.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`](crate::Error::DeadlineExceeded) when an ancestor is frozen too.
    pub fn thaw(&self, deadline: Instant) -> Result<()> {
        self.write(FILE, "0")?;
        Events::open(&self.directory)?.wait("thawed", deadline, |state| !state.frozen)
    }

    /// Whether every process of the cgroup is stopped.
    ///
    /// # Errors
    /// [`Error::Call`](crate::Error::Call), of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn is_frozen(&self) -> Result<bool> {
        Ok(Events::open(&self.directory)?.read()?.frozen)
    }
}
