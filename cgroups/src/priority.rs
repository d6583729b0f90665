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
//! The order for a caller, all of it in calls that may block:
//! * Create: limits are applied, then `Cgroup::apply_priority(place, pod_level, &request, Some(&limits), lock)`, before the first
//!   process enters. The sandbox is a container like the others: it has the pod's request.
//! * Update: `Cgroup::fit_priority(&mut limits)` takes out of the limits what must not be written while a priority is in force
//!   (`cpu.weight` of an idle cgroup); then the limits are updated; then `apply_priority` as for Create.
//! * An operator's command: `apply_priority` with `None` for the limits, and with an empty request to take everything back.
//! * Delete: when the cgroup is gone, `Hierarchy::release_priority(place, lock)` brings the pod's cgroup in line with those that are left.
//! * `Cgroup::observe_priority()` reads the note and the files, `Hierarchy::priority_support()` makes a [`NodeReport`].
//!
//! Knows no OCI spec, no annotation and no configuration. Switches of the whole node (sysctls) are read, never written.

mod knob;
mod level;
mod node_report;
mod report;
mod request;

pub use knob::{Backend, Knob, Mechanism};
pub use level::{Level, LevelFault};
pub use node_report::{Availability, BackendReport, KnobReport, NodeReport, Remark, Treatment};
pub use report::{Entry, FileValue, Outcome, PassedOver, Reason, Report};
pub use request::{
    DiskLimit, DiskTarget, DiskWeight, Microseconds, NetLimits, OutOfRange, PageCacheLimit, Percent, Request,
};
