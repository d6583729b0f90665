//! What a person should hear about a container's memory QoS although the container runs.

use std::fmt;
use std::path::PathBuf;

use super::node::KernelVersion;
use super::setting::{Knob, Source};
use crate::limits::Limit;

/// Something that is not as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The policy is off, so a wish is not carried out.
    Withheld {
        /// What was asked for.
        knob: Knob,
        /// By whom.
        source: Source,
    },
    /// A kernel on which throttling can stall the container throttles it, because somebody asked for exactly that.
    OldKernel {
        /// Who asked.
        source: Source,
        /// The kernel.
        kernel: KernelVersion,
    },
    /// A cgroup above protects less than the container does, and the kernel gives no more than that.
    Gap(Gap),
    /// The cgroups above could not be brought in line.
    Ancestors(String),
}

/// A cgroup that protects less than what is below it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// `memory.min` or `memory.low`.
    pub knob: Knob,
    /// The directory of the cgroup above.
    pub ancestor: PathBuf,
    /// What it protects; `u64::MAX` stands for "max".
    pub given: u64,
    /// What is asked for below it; `u64::MAX` stands for "max".
    pub asked: u64,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withheld { knob, source } => {
                write!(formatter, "{knob} that {source} asks for is not set: the policy is off")
            }
            Self::OldKernel { source, kernel: KernelVersion { major, minor } } => write!(
                formatter,
                "memory.high that {source} asks for is set, but Linux {major}.{minor} can stall who exceeds it: that takes 5.9"
            ),
            Self::Gap(gap) => gap.fmt(formatter),
            Self::Ancestors(error) => write!(formatter, "protection of the cgroups above: {error}"),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |bytes: u64| if bytes == u64::MAX { Limit::Unlimited } else { Limit::At(bytes) };
        write!(
            formatter,
            "{} of {} is {}, which is all that the kernel gives of the {} asked for below it",
            self.knob,
            self.ancestor.display(),
            amount(self.given),
            amount(self.asked),
        )
    }
}
