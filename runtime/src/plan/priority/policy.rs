//! The node's, or a runtime class's, policy of priorities: what a pod has that says nothing about it.

use super::vocabulary::Vocabulary;
use ballast_cgroups::memory_qos::QosClass;
use ballast_cgroups::priority::{Level, MarkScale};

/// What is configured. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriorityPolicy {
    /// Of containers whose class says nothing else, and of those without a class.
    pub default: Option<Level>,
    /// Of pods whose requests are their limits.
    pub guaranteed: Option<Level>,
    /// Of pods that request something.
    pub burstable: Option<Level>,
    /// Of pods that request nothing.
    pub best_effort: Option<Level>,
    /// Other systems whose annotations count, in this order.
    pub honour: Vec<Vocabulary>,
    /// The marks of packets that have a priority. Without it packets keep the marks that they have.
    pub net_mark: Option<MarkScale>,
}

impl PriorityPolicy {
    /// What a container of this class has that says nothing about it. The class is only asked for where it matters.
    pub(super) fn level_of(&self, class: impl FnOnce() -> Option<QosClass>) -> Option<Level> {
        if [self.guaranteed, self.burstable, self.best_effort] == [None; 3] {
            return self.default;
        }
        let own = match class() {
            None => None,
            Some(QosClass::Guaranteed) => self.guaranteed,
            Some(QosClass::Burstable) => self.burstable,
            Some(QosClass::BestEffort) => self.best_effort,
        };
        own.or(self.default)
    }
}
