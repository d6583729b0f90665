//! Priorities of a container's cgroup on this machine: the calls of this directory for the rest of the world.

use super::apply::{Target, apply};
use super::fit::{Sent, fit};
use super::level::Level;
use super::live::{Live, Owner};
use super::node_report::NodeReport;
use super::observe::{ObservedPriority, observe};
use super::pod::{Asked, settle_pod};
use super::report::Report;
use super::request::Request;
use super::support::support;
use crate::cgroup::Cgroup;
use crate::error::{Result, ignore_gone};
use crate::hierarchy::Hierarchy;
use crate::limits::Limits;
use crate::memory_qos::{LevelsLock, PodPlace};

impl Cgroup {
    /// Gives the container what `request` asks for, instead of what was asked for before, and its pod's cgroup the level that is
    /// asked for the pod: the higher one of `pod_level` and what single containers ask for.
    ///
    /// To be called when the limits are applied, and before the first process enters: what is made in a cgroup inherits from it. `limits`
    /// are what was asked for, as it was before [`Self::fit_priority`]; `None` when they are as they were, also after an update that was
    /// refused. `place` is `None` for a container that is in no pod of kubelet's;
    /// then only its own files are written. The lock is taken for pods, whose containers come and go at the same time.
    ///
    /// A knob that cannot be had is no error but an entry of the report.
    ///
    /// # Errors
    /// Of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone; when notes cannot be kept; when systemd, which owns the
    /// cgroup, does not answer.
    pub fn apply_priority(
        &self,
        place: Option<&PodPlace>,
        pod_level: Option<Level>,
        request: &Request,
        limits: Option<&Limits>,
        lock: impl FnOnce() -> Result<LevelsLock>,
    ) -> Result<Report> {
        let _lock = place.map(|_| lock()).transpose()?;
        let target = Target { container: self.path.relative(), pod: place.map(PodPlace::pod) };
        apply(&self.live(), target, pod_level, request, limits.map(Sent::by))
    }

    /// Prepares for `limits` to be written while a priority is in force: takes `cpu.weight` out of them, from which
    /// [`Self::apply_priority`] derives the container's afterwards, and gives back files that they name themselves. To be called before
    /// every update of limits. Without a priority nothing is changed.
    ///
    /// # Errors
    /// As [`Self::apply_priority`].
    pub fn fit_priority(&self, limits: &mut Limits) -> Result<()> {
        fit(&self.live(), self.path.relative(), limits)
    }

    /// Looks at what was asked for, what was done, and what the files hold now. `None` when nobody asked for anything.
    ///
    /// # Errors
    /// Of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn observe_priority(&self) -> Result<Option<ObservedPriority>> {
        let place = PodPlace::of(&self.path);
        let target = Target { container: self.path.relative(), pod: place.as_ref().map(PodPlace::pod) };
        observe(&self.live(), target)
    }

    fn live(&self) -> Live<'_> {
        Live::new(&self.hierarchy, owner(self.is_owned_by_systemd()))
    }
}

impl Hierarchy {
    /// Brings the cgroup of a pod in line with its containers after one of them was removed. When none is left that asked for anything,
    /// it holds what it held before.
    ///
    /// # Errors
    /// When it cannot be read or written. A pod that is gone is passed over.
    pub fn release_priority(&self, place: &PodPlace, _lock: &LevelsLock) -> Result<()> {
        let live = Live::new(self, owner(place.is_of_slices()));
        ignore_gone(settle_pod(&live, place.pod(), Asked::AsBefore, &mut Vec::new()).map(drop))
    }

    /// Looks at what this node has for priorities. Writes nothing.
    ///
    /// # Errors
    /// When the hierarchy cannot be read.
    pub fn priority_support(&self) -> Result<NodeReport> {
        support(&Live::new(self, Owner::Nobody))
    }
}

fn owner(by_systemd: bool) -> Owner {
    if by_systemd { Owner::Systemd } else { Owner::Nobody }
}
