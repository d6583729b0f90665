//! A container's memory QoS over its life: established when it is made, decided anew on every update, released when it
//! goes. What cannot be done beyond the container's own files does not stop it; it is told as a notice.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ballast_cgroups::memory_qos::{Decision, LevelsLock, MemoryQos, NodeFacts, Notice};
use ballast_cgroups::priority::Level;
use ballast_cgroups::{Cgroup, Hierarchy, Limits};

use crate::error::{Error, report};
use crate::record::STATE_DIRECTORY;

/// The memory QoS of a container that can have one.
#[derive(Debug)]
pub(super) struct MemoryQosOfContainer {
    state: Mutex<State>,
    /// What nobody was told yet.
    notices: Mutex<Vec<Notice>>,
}

#[derive(Debug)]
struct State {
    qos: MemoryQos,
    /// What is in force; nothing as long as all there is to it is what kubelet sent.
    decision: Decision,
    /// What kubelet sent last, for when there comes to be more to it.
    sent: Limits,
}

impl MemoryQosOfContainer {
    /// Decides about a new container and puts the outcome into its limits.
    pub(super) fn decide(qos: MemoryQos, limits: &mut Limits) -> Result<Self, Error> {
        let sent = limits.clone();
        let decision = match qos.is_plain() {
            true => Decision::default(),
            false => qos.decide(&NodeFacts::read()?, limits, &Decision::default(), None)?,
        };
        Ok(Self { state: Mutex::new(State { qos, decision, sent }), notices: Mutex::default() })
    }

    /// To be called when the limits are applied.
    pub(super) fn establish(&self, cgroup: &Cgroup) {
        let state = self.state();
        if !state.qos.is_plain() {
            self.carry_up(cgroup, &state.qos, &state.decision, &Decision::default());
        }
    }

    /// Changes limits, and decides anew what follows from them.
    pub(super) fn update(&self, cgroup: &Cgroup, mut limits: Limits) -> Result<(), Error> {
        let mut state = self.state();
        if state.qos.is_plain() {
            cgroup.update(&limits)?;
            state.sent = limits;
            return Ok(());
        }
        let next =
            state.qos.decide(&NodeFacts::read()?, &mut limits, &state.decision, cgroup.memory_limit()?)?;
        self.put_in_force(cgroup, &mut state, next, &limits)
    }

    /// Listens to another priority from now on, also where nobody asked for anything before.
    pub(super) fn set_priority(&self, cgroup: &Cgroup, level: Option<Level>) -> Result<(), Error> {
        let mut state = self.state();
        if state.qos.priority == level {
            return Ok(());
        }
        let facts = NodeFacts::read()?;
        let was_plain = state.qos.is_plain();
        if was_plain {
            // What kubelet sent is known to every decision.
            let mut sent = state.sent.clone();
            state.decision = state.qos.decide(&facts, &mut sent, &Decision::default(), None)?;
        }
        state.qos.priority = level;
        if was_plain && state.qos.is_plain() {
            return Ok(());
        }
        let mut limits = Limits::default();
        let next = state.qos.decide(&facts, &mut limits, &state.decision, cgroup.memory_limit()?)?;
        self.put_in_force(cgroup, &mut state, next, &limits)
    }

    fn put_in_force(
        &self,
        cgroup: &Cgroup,
        state: &mut State,
        next: Decision,
        limits: &Limits,
    ) -> Result<(), Error> {
        if let Err(error) = cgroup.update(limits) {
            // Some of the files can be changed already; the levels above follow the files.
            self.carry_up(cgroup, &state.qos, &state.decision, &next);
            return Err(error.into());
        }
        let before = std::mem::replace(&mut state.decision, next);
        self.carry_up(cgroup, &state.qos, &state.decision, &before);
        Ok(())
    }

    /// To be called when the cgroup is gone: takes its share off the cgroups above.
    pub(super) fn release(&self, hierarchy: &Hierarchy) {
        let state = self.state();
        if let (Some(place), true) = (&state.qos.place, state.decision.protects()) {
            let released = levels_lock().and_then(|lock| hierarchy.settle_protection(place, None, &lock));
            self.note(released.err().map(|error| Notice::Ancestors(report(&error))));
        }
    }

    pub(super) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_up(&self, cgroup: &Cgroup, qos: &MemoryQos, decision: &Decision, before: &Decision) {
        self.note(decision.notices().iter().cloned());
        let reach = qos.policy.protect_ancestors;
        let established =
            cgroup.establish_memory_qos(decision, before, qos.place.as_ref(), reach, levels_lock);
        let established = match qos.is_plain() {
            true => established.and_then(|()| cgroup.forget_memory_qos()),
            false => established,
        };
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
