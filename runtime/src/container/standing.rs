//! A container's standing among its neighbours, which its limits say nothing about: memory QoS and priority. Knows in which order
//! they touch the cgroup, not what they write.

use super::memory_qos::MemoryQosOfContainer;
use super::priority::{OperatorWord, PriorityOfContainer};
use crate::error::Error;
use crate::plan::PriorityPlan;
use crate::runtime::Runtime;
use ballast_cgroups::{Cgroup, Hierarchy, Limits};

/// Both of them.
#[derive(Debug)]
pub(super) struct Standing {
    /// `None` for a sandbox, for which nobody requests memory.
    pub(super) memory_qos: Option<MemoryQosOfContainer>,
    pub(super) priority: PriorityOfContainer,
}

impl Standing {
    /// To be called when the limits are applied, before there is a process.
    pub(super) fn establish(&self, cgroup: &Cgroup, limits: &Limits) {
        if let Some(memory_qos) = &self.memory_qos {
            memory_qos.establish(cgroup);
        }
        self.priority.establish(cgroup, limits);
    }

    /// Changes limits, and what follows from them.
    pub(super) fn update(&self, runtime: &Runtime, cgroup: &Cgroup, mut limits: Limits) -> Result<(), Error> {
        let asked = limits.clone();
        self.priority.fit(cgroup, &mut limits)?;
        let updated = match &self.memory_qos {
            Some(memory_qos) => memory_qos.update(cgroup, limits),
            None => cgroup.update(&limits).map_err(Error::from),
        };
        // After a refusal, too: what made way for the limits comes back.
        self.priority.update(runtime, cgroup, updated.is_ok().then_some(&asked));
        updated
    }

    /// Asks for something else from now on.
    pub(super) fn replan(&self, runtime: &Runtime, cgroup: &Cgroup, plan: PriorityPlan) {
        self.priority.replan(runtime, cgroup, plan);
        self.follow_priority(cgroup);
    }

    /// Puts an operator's word about the level before everybody's, or takes it back.
    pub(super) fn set_operator_word(&self, runtime: &Runtime, cgroup: &Cgroup, word: Option<OperatorWord>) {
        self.priority.set_operator_word(runtime, cgroup, word);
        self.follow_priority(cgroup);
    }

    fn follow_priority(&self, cgroup: &Cgroup) {
        let Some(memory_qos) = &self.memory_qos else { return };
        if let Err(error) = memory_qos.set_priority(cgroup, self.priority.level()) {
            self.priority.tell_failure(&error);
        }
    }

    /// To be called when the cgroup is gone: takes its share off those above.
    pub(super) fn release(&self, hierarchy: &Hierarchy) {
        if let Some(memory_qos) = &self.memory_qos {
            memory_qos.release(hierarchy);
        }
        self.priority.release(hierarchy);
    }
}
