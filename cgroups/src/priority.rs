//! Priorities handed to the kernel: one scale for all kernels, translated by a backend per kernel family into the files
//! that are really there on the container's cgroup.
//!
//! A [`Request`] is what a container asks for; its [`Level`] is also asked of the pod's cgroup, which bounds its children.
//! [`Report`] says for each [`Knob`] what was written by which [`Backend`], what is [left](Outcome::Left) to the caller
//! because no file of a cgroup does it, and what cannot be had and why. Nothing that was asked for is dropped in silence.
//!
//! In force until it is cleared, and gone with the cgroup: a note on the directory (`trusted.ballast.priority`) holds what was
//! asked for, what each file held before, and the report, so that another process can look and take it back.
//!
//! The order for a caller, in calls that all may block:
//! * Create: the limits are applied, then [`Cgroup::apply_priority`](crate::Cgroup::apply_priority) with them, before the first process
//!   enters. The sandbox is a container like the others, and asks for what the pod does.
//! * Update: [`Cgroup::fit_priority`](crate::Cgroup::fit_priority) takes out of the limits what must not be written while a priority
//!   is in force, such as `cpu.weight` of an idle cgroup; the limits are updated; then as for Create.
//! * An operator's command: `apply_priority` without limits. An empty request takes everything back.
//! * Delete: when the cgroup is gone, [`Hierarchy::release_priority`](crate::Hierarchy::release_priority) brings the pod's cgroup in line
//!   with the containers that are left.
//!
//! Knows no OCI spec, no annotation and no configuration. Switches of the whole node (sysctls) are read, never written.

mod apply;
mod backend;
mod container;
mod files;
mod fit;
mod knob;
mod ledger;
mod level;
mod live;
#[cfg(test)]
mod model;
mod node_report;
mod note;
mod observe;
mod packet;
mod packet_mark;
mod plan;
mod pod;
mod probe;
mod report;
mod request;
mod slot;
mod support;
#[cfg(test)]
mod tests;

pub use knob::{Backend, Knob, Mechanism};
pub use level::{Level, LevelFault};
pub use node_report::{Availability, BackendReport, KnobReport, NodeReport, Remark, Treatment};
pub use observe::{ObservedFile, ObservedPriority};
pub use packet::{PacketTreatment, packet_program};
pub use packet_mark::{MarkScale, MarkScaleFault, PacketMark};
pub use report::{Entry, FileValue, Outcome, PassedOver, Reason, Report, Stuck};
pub use request::{
    DiskLimit, DiskTarget, DiskWeight, Microseconds, NetLimits, OutOfRange, PageCacheLimit, Percent, Request,
};
