//! The node's policy: what is derived for containers that ask for nothing themselves. Knows no file.

use std::fmt;

use super::fraction::Fraction;

/// Which of kubelet, pod and node has a say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What kubelet sends and what pods ask for is carried out; nothing is derived.
    #[default]
    Kubelet,
    /// Also, what nobody asked for is derived from the pod's class, its request and its limit (KEP-2570, tiered reservation).
    Tiered,
    /// Nothing protects or throttles, whoever asks; limits of memory and swap stay.
    Off,
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kubelet => "kubelet",
            Self::Tiered => "tiered",
            Self::Off => "off",
        })
    }
}

/// How far up sums of protections are carried. The kernel gives a cgroup no more protection than its parent has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// To the pod.
    #[default]
    Pod,
    /// On to the cgroup of the pod's class and to kubepods.
    Node,
}

/// What the node's configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who has a say.
    pub mode: Mode,
    /// Where between request and limit throttling begins; never when unset.
    pub throttling_factor: Option<Fraction>,
    /// Stands for a limit that is missing, in bytes; when unset, all memory of the node does.
    pub node_allocatable: Option<u64>,
    /// How far protections are carried up.
    pub protect_ancestors: Reach,
    /// Whether a Burstable container's request is estimated when no annotation names it.
    pub estimate_requests: bool,
    /// Whether Guaranteed containers are protected by `memory.min`.
    pub protect_guaranteed: bool,
    /// Whether Burstable containers are protected by `memory.low`.
    pub protect_burstable: bool,
    /// Whether Burstable containers are throttled by `memory.high`.
    pub throttle_burstable: bool,
    /// Whether BestEffort containers are throttled by `memory.high`.
    pub throttle_best_effort: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            throttling_factor: None,
            node_allocatable: None,
            protect_ancestors: Reach::default(),
            estimate_requests: true,
            protect_guaranteed: true,
            protect_burstable: true,
            throttle_burstable: true,
            throttle_best_effort: true,
        }
    }
}
