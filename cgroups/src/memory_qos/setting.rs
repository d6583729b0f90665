//! One file of memory QoS with its value and where the value came from.

use std::fmt;

use crate::limits::{Limit, MemoryLimits};

/// The files of cgroup v2 that memory QoS decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// `memory.min`: never reclaimed below this.
    Min,
    /// `memory.low`: not reclaimed below this while others have anything to give.
    Low,
    /// `memory.high`: above, allocations are slowed down and reclaim their own.
    High,
    /// `memory.swap.max`: how much may be swapped out.
    SwapMax,
    /// `memory.oom.group`: whether all processes are killed together.
    OomGroup,
}

impl Knob {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Min, Self::Low, Self::High, Self::SwapMax, Self::OomGroup];

    /// The file's name.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Min => "memory.min",
            Self::Low => "memory.low",
            Self::High => "memory.high",
            Self::SwapMax => "memory.swap.max",
            Self::OomGroup => "memory.oom.group",
        }
    }

    /// The value of a new cgroup, which changes nothing.
    pub(super) fn neutral(self) -> Limit {
        match self {
            Self::Min | Self::Low | Self::OomGroup => Limit::At(0),
            Self::High | Self::SwapMax => Limit::Unlimited,
        }
    }
}

impl MemoryLimits {
    /// Sets the limit that this file holds.
    pub(super) fn set(&mut self, knob: Knob, value: Limit) {
        match knob {
            Knob::Min => self.min = Some(value),
            Knob::Low => self.low = Some(value),
            Knob::High => self.high = Some(value),
            Knob::SwapMax => self.swap_max = Some(value),
            Knob::OomGroup => self.oom_group = Some(value != Limit::At(0)),
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.file())
    }
}

/// Who decided on a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `linux.resources`, which kubelet and containerd fill.
    Kubelet,
    /// An annotation of the pod.
    Annotation,
    /// The container's priority.
    Priority,
    /// The node's policy.
    Policy,
}

impl Source {
    pub(super) const ALL: [Self; 4] = [Self::Kubelet, Self::Annotation, Self::Priority, Self::Policy];
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kubelet => "kubelet",
            Self::Annotation => "annotation",
            Self::Priority => "priority",
            Self::Policy => "policy",
        })
    }
}

/// A decided value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(super) knob: Knob,
    pub(super) value: Limit,
    pub(super) source: Source,
}

/// Where the request that a decision stands on came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestSource {
    /// An annotation.
    Annotation,
    /// The limit of a Guaranteed container, which is its request.
    Limit,
    /// Read back from `oom_score_adj`.
    Estimate,
    /// Nothing is requested in a BestEffort pod.
    Class,
}

impl RequestSource {
    pub(super) const ALL: [Self; 4] = [Self::Annotation, Self::Limit, Self::Estimate, Self::Class];
}

impl fmt::Display for RequestSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Annotation => "annotation",
            Self::Limit => "limit",
            Self::Estimate => "estimate",
            Self::Class => "class",
        })
    }
}
