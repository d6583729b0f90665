//! A container's memory QoS over its life: established when it is made, decided anew on every update, released when it
//! goes. What cannot be done beyond the container's own files does not stop it; it is told as a notice.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ballast_cgroups::memory_qos::{Decision, LevelsLock, MemoryQos, NodeFacts, Notice};
use ballast_cgroups::{Cgroup, Hierarchy, Limits};

use crate::error::{Error, report};
use crate::record::STATE_DIRECTORY;

/// The memory QoS of a container for which there is something to decide.
#[derive(Debug)]
pub(super) struct MemoryQosOfContainer {
    qos: MemoryQos,
    /// What is in force.
    decision: Mutex<Decision>,
    /// What nobody was told yet.
    notices: Mutex<Vec<Notice>>,
}

impl MemoryQosOfContainer {
    /// Decides about a new container and puts the outcome into its limits.
    pub(super) fn decide(qos: MemoryQos, limits: &mut Limits) -> Result<Self, Error> {
        let decision = qos.decide(&NodeFacts::read()?, limits, &Decision::default(), None)?;
        Ok(Self { qos, decision: Mutex::new(decision), notices: Mutex::default() })
    }

    /// To be called when the limits are applied.
    pub(super) fn establish(&self, cgroup: &Cgroup) {
        let decision = self.decision.lock().unwrap_or_else(PoisonError::into_inner);
        self.carry_up(cgroup, &decision, &Decision::default());
    }

    /// Changes limits, and decides anew what follows from them.
    pub(super) fn update(&self, cgroup: &Cgroup, mut limits: Limits) -> Result<(), Error> {
        let mut decision = self.decision.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.qos.decide(&NodeFacts::read()?, &mut limits, &decision, cgroup.memory_limit()?)?;
        if let Err(error) = cgroup.update(&limits) {
            // Some of the files can be changed already; the levels above follow the files.
            self.carry_up(cgroup, &decision, &next);
            return Err(error.into());
        }
        let before = std::mem::replace(&mut *decision, next);
        self.carry_up(cgroup, &decision, &before);
        Ok(())
    }

    /// To be called when the cgroup is gone: takes its share off the cgroups above.
    pub(super) fn release(&self, hierarchy: &Hierarchy) {
        let decision = self.decision.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(place), true) = (&self.qos.place, decision.protects()) {
            let released = levels_lock().and_then(|lock| hierarchy.settle_protection(place, None, &lock));
            self.note(released.err().map(|error| Notice::Ancestors(report(&error))));
        }
    }

    pub(super) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn carry_up(&self, cgroup: &Cgroup, decision: &Decision, before: &Decision) {
        self.note(decision.notices().iter().cloned());
        let reach = self.qos.policy.protect_ancestors;
        let established =
            cgroup.establish_memory_qos(decision, before, self.qos.place.as_ref(), reach, levels_lock);
        match established.and_then(|()| cgroup.protection_gaps()) {
            Ok(gaps) => self.note(gaps.into_iter().map(Notice::Gap)),
            Err(error) => self.note([Notice::Ancestors(report(&error))]),
        }
    }

    fn note(&self, notices: impl IntoIterator<Item = Notice>) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).extend(notices);
    }
}

/// The state directory is closed to everybody but root, and a record stands in it before any cgroup is decided about.
pub(super) fn levels_lock() -> Result<LevelsLock, ballast_cgroups::Error> {
    LevelsLock::take(Path::new(STATE_DIRECTORY))
}
