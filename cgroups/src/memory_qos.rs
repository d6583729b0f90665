//! Memory QoS on cgroup v2 (KEP-2570): what of a container's memory is protected from its neighbours, and where it is slowed
//! down before it takes theirs. Each value comes from kubelet, from an annotation, or from the node's policy; each is
//! carried up through the cgroups above, without which the kernel gives nothing.
//!
//! [`MemoryQos::decide`] is pure. What it decides is applied as [`Limits`](crate::Limits),
//! [established](crate::Cgroup::establish_memory_qos), and can be [observed](crate::Cgroup::observe_memory_qos) and
//! [reset](crate::Cgroup::reset_memory_qos). Nothing here knows OCI specs or the names of annotations.

mod amount;
mod class;
mod decision;
mod establish;
mod estimate;
mod formula;
mod fraction;
mod levels;
mod mark;
mod node;
mod note;
mod notice;
mod observe;
mod policy;
mod quantity;
mod setting;

pub use amount::{Amount, AmountFault};
pub use class::{PodPlace, QosClass};
pub use decision::{Decision, MemoryQos, Wish, Wishes};
pub use fraction::{Fraction, NotAFactor};
pub use levels::LevelsLock;
pub use node::{KernelVersion, NodeFacts};
pub use notice::{Gap, Notice};
pub use observe::{ObservedLevel, ObservedMemoryQos, ObservedValue};
pub use policy::{Mode, Policy, Reach};
pub use quantity::{QuantityFault, parse_bytes};
pub use setting::{Knob, RequestSource, Source};
