//! A container's priority over its life: applied before its first process, decided anew on every update and on an operator's
//! word, taken back when it goes. What cannot be had does not stop it; it is told as a notice, once.

use super::mechanisms::{Mechanisms, Undone};
use super::memory_qos::levels_lock;
use super::oom_score;
use crate::error::{Error, report};
use crate::plan::wire::Scheduling;
use crate::plan::{Annotations, LevelSource, PlanError, PriorityPlan, PriorityPolicy, plan_priority};
use crate::runtime::Runtime;
use ballast_cgroups::memory_qos::PodPlace;
use ballast_cgroups::priority::{Entry, Knob, Level, Mechanism, Outcome, Report, Request, Stuck};
use ballast_cgroups::{Cgroup, CgroupPath, Hierarchy, Limits};
use oci_spec::runtime::Spec;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The priority of a container, which may be none.
#[derive(Debug)]
pub(super) struct PriorityOfContainer {
    cgroup_path: CgroupPath,
    policy: PriorityPolicy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By annotations and policy.
    plan: PriorityPlan,
    /// Annotations that came with updates, laid over the spec's.
    updated: HashMap<String, String>,
    /// What an operator said instead, about the level alone.
    operator: Option<OperatorWord>,
    /// `oom_score_adj` without a priority: what the spec says, or what the first process was born with.
    oom_score: Option<i32>,
    /// What became of the last request.
    report: Report,
    /// What files do not do.
    mechanisms: Mechanisms,
    /// Whether anything was written that has to be taken back.
    in_force: bool,
    undone: Vec<Undone>,
    told: BTreeSet<Knob>,
    notices: Vec<PriorityNotice>,
}

/// An operator's word about a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorWord {
    /// For all of the pod, its own cgroup included.
    Pod(Level),
    /// For this container alone.
    Container(Level),
}

impl OperatorWord {
    fn level(self) -> Level {
        match self {
            Self::Pod(level) | Self::Container(level) => level,
        }
    }
}

/// What a person should hear about a container's priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriorityNotice {
    /// A knob that was asked for is not set.
    Unset(Entry),
    /// What no file does, and cannot be done otherwise either.
    NotCarriedOut(Undone),
    /// A file does not go back to what it held before.
    Stuck(Stuck),
    /// It could not be set or taken back at all.
    Failed(String),
}

impl fmt::Display for PriorityNotice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(entry) => entry.fmt(formatter),
            Self::NotCarriedOut(undone) => undone.fmt(formatter),
            Self::Stuck(stuck) => stuck.fmt(formatter),
            Self::Failed(text) => formatter.write_str(text),
        }
    }
}

/// A container's priority, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPriority {
    /// What is asked for; `None` when nobody asks.
    pub level: Option<Level>,
    /// Who asks.
    pub source: Option<LevelSource>,
    /// What became of it.
    pub report: Report,
    /// What the runtime was to do itself, and could not.
    pub undone: Vec<Undone>,
}

impl ContainerPriority {
    /// What became of it, a line for each knob.
    #[must_use]
    pub fn outcomes(&self) -> Vec<String> {
        let is_undone = |entry: &&Entry| {
            matches!(entry.outcome, Outcome::Left { .. })
                && self.undone.iter().any(|undone| undone.knob == entry.knob)
        };
        let done = self.report.entries.iter().filter(|entry| !is_undone(entry)).map(ToString::to_string);
        let undone = self.undone.iter().map(|undone| format!("NOT SET {undone}"));
        done.chain(undone).collect()
    }
}

impl PriorityOfContainer {
    /// What a new container asks for, and its pod's operator for it.
    pub(super) fn plan(
        runtime: &Runtime,
        spec: &Spec,
        annotations: &Annotations<'_>,
        cgroup_path: &CgroupPath,
        policy: &PriorityPolicy,
    ) -> Result<Self, PlanError> {
        let plan = plan_priority(annotations, cgroup_path, policy)?;
        let state = State {
            plan,
            operator: runtime.operator_level().map(OperatorWord::Pod),
            oom_score: spec.process().as_ref().and_then(|process| process.oom_score_adj()),
            ..State::default()
        };
        Ok(Self { cgroup_path: cgroup_path.clone(), policy: policy.clone(), state: Mutex::new(state) })
    }

    /// What an update's annotations make of the plan; `None` when none of them is Ballast's. What the container was
    /// made with cannot be changed by them.
    pub(super) fn plan_anew(
        &self,
        given: &HashMap<String, String>,
        update: &HashMap<String, String>,
    ) -> Result<Option<PriorityPlan>, PlanError> {
        let ours = Annotations::among(Some(update))?;
        if let Some(fixed) = ours.all().find(|annotation| !annotation.is_about_priority()) {
            return Err(fixed.refused("cannot be changed by an update"));
        }
        if ours.all().next().is_none() {
            return Ok(None);
        }
        let mut state = self.state();
        let mut merged = given.clone();
        let ours = || ours.all().map(|one| (one.name.to_owned(), one.value.to_owned()));
        merged.extend(state.updated.clone().into_iter().chain(ours()));
        let plan = plan_priority(&Annotations::among(Some(&merged))?, &self.cgroup_path, &self.policy)?;
        state.updated.extend(ours());
        Ok(Some(plan))
    }

    /// To be called when the limits are applied, before there is a process. A failure is told, and stops nobody.
    pub(super) fn establish(&self, cgroup: &Cgroup, limits: &Limits) {
        let mut state = self.state();
        self.apply(cgroup, &mut state, Some(limits));
        state.mechanisms.close();
    }

    /// What a new process takes on before its `execve`; `init` is the first one's pid, if there is one.
    pub(super) fn scheduling(&self, init: Option<u32>) -> Scheduling {
        self.state().mechanisms.scheduling(init)
    }

    /// Sets `oom_score_adj` of the first process, which is still ours.
    pub(super) fn adjust_first_process(&self, runtime: &Runtime, pid: u32) -> Result<(), Error> {
        let mut state = self.state();
        match state.oom_score {
            Some(given) => oom_score::set(runtime, pid, state.raised(given)),
            None => {
                let inherited = oom_score::of(runtime, pid)?;
                state.oom_score = Some(inherited);
                if state.raised(inherited) == inherited {
                    return Ok(());
                }
                oom_score::set(runtime, pid, state.raised(inherited))
            }
        }
    }

    /// `oom_score_adj` of a process of an exec, whose own spec says `given`.
    pub(super) fn oom_score_of_exec(&self, given: Option<i32>) -> Option<i32> {
        let state = self.state();
        given.or(state.oom_score).map(|given| state.raised(given))
    }

    /// Takes out of limits what must not be written meanwhile.
    pub(super) fn fit(&self, cgroup: &Cgroup, limits: &mut Limits) -> Result<(), Error> {
        if self.state().in_force { Ok(cgroup.fit_priority(limits)?) } else { Ok(()) }
    }

    /// To be called after an update of limits: with them when they have changed, without when they were refused.
    pub(super) fn update(&self, runtime: &Runtime, cgroup: &Cgroup, limits: Option<&Limits>) {
        self.change(runtime, cgroup, limits, |_| {});
    }

    /// Asks for something else from now on.
    pub(super) fn replan(&self, runtime: &Runtime, cgroup: &Cgroup, plan: PriorityPlan) {
        self.change(runtime, cgroup, None, |state| state.plan = plan);
    }

    /// Puts an operator's word before everybody's, or takes it back.
    pub(super) fn set_operator_word(&self, runtime: &Runtime, cgroup: &Cgroup, word: Option<OperatorWord>) {
        self.change(runtime, cgroup, None, |state| state.operator = word);
    }

    /// What is asked for, by whomever.
    pub(super) fn level(&self) -> Option<Level> {
        self.state().level()
    }

    /// Something that follows from the priority could not be done.
    pub(super) fn tell_failure(&self, error: &Error) {
        self.state().notices.push(PriorityNotice::Failed(report(error)));
    }

    pub(super) fn operator_word(&self) -> Option<OperatorWord> {
        self.state().operator
    }

    /// To be called when the cgroup is gone: brings the pod's in line with those that are left.
    pub(super) fn release(&self, hierarchy: &Hierarchy) {
        let mut state = self.state();
        if !state.in_force {
            return;
        }
        let Some(place) = self.place() else { return };
        let released = levels_lock().and_then(|lock| hierarchy.release_priority(&place, &lock));
        state.in_force = false;
        state.mechanisms = Mechanisms::default();
        state.notices.extend(released.err().map(|error| PriorityNotice::Failed(report(&error))));
    }

    pub(super) fn take_notices(&self) -> Vec<PriorityNotice> {
        std::mem::take(&mut self.state().notices)
    }

    pub(super) fn describe(&self) -> ContainerPriority {
        let state = self.state();
        ContainerPriority {
            level: state.level(),
            source: state.source(),
            report: state.report.clone(),
            undone: state.undone.clone(),
        }
    }

    fn change(
        &self,
        runtime: &Runtime,
        cgroup: &Cgroup,
        limits: Option<&Limits>,
        ask: impl FnOnce(&mut State),
    ) {
        let mut state = self.state();
        let given = state.oom_score.unwrap_or_default();
        let before = state.raised(given);
        ask(&mut state);
        self.apply(cgroup, &mut state, limits);
        let after = state.raised(given);
        if before != after
            && let Err(error) = oom_score::change(runtime, cgroup, before, after)
        {
            state.notices.push(PriorityNotice::Failed(report(&error)));
        }
    }

    fn apply(&self, cgroup: &Cgroup, state: &mut State, limits: Option<&Limits>) {
        let request = state.request();
        if request.is_empty() && !state.in_force {
            return;
        }
        // Also when it fails half-way.
        state.in_force = true;
        let place = self.place();
        match cgroup.apply_priority(place.as_ref(), state.pod_level(), &request, limits, levels_lock) {
            Ok(mut report) => {
                state.in_force = !request.is_empty() || !report.stuck.is_empty();
                let undone = state.mechanisms.carry_out(cgroup, &request, &report);
                for Undone { knob, mechanism, why } in undone.clone() {
                    report.not_done(knob, mechanism, why);
                }
                state.tell(report, undone);
            }
            Err(error) => state.notices.push(PriorityNotice::Failed(report(&error))),
        }
    }

    fn place(&self) -> Option<PodPlace> {
        PodPlace::of(&self.cgroup_path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn level(&self) -> Option<Level> {
        self.operator.map(OperatorWord::level).or(self.plan.request.level)
    }

    /// What the pod's cgroup is asked for: it must leave room for its highest container.
    fn pod_level(&self) -> Option<Level> {
        match self.operator {
            Some(OperatorWord::Pod(level)) => Some(level),
            Some(OperatorWord::Container(level)) => self.plan.pod_level.map(|pod| pod.min(level)),
            None => self.plan.pod_level,
        }
    }

    fn source(&self) -> Option<LevelSource> {
        if self.operator.is_some() { Some(LevelSource::Operator) } else { self.plan.source.clone() }
    }

    fn request(&self) -> Request {
        Request { level: self.level(), ..self.plan.request.clone() }
    }

    /// `given`, raised where nothing but `oom_score_adj` tells the kernel whom to kill first.
    fn raised(&self, given: i32) -> i32 {
        let by_score = self.report.left().any(|(_, mechanism)| mechanism == Mechanism::OomScoreAdj);
        let level = self.level().filter(|_| by_score);
        level.map_or(given, |level| oom_score::raised(given, level))
    }

    fn tell(&mut self, report: Report, undone: Vec<Undone>) {
        self.undone.clone_from(&undone);
        let unset = report.unset().cloned().map(|entry| (entry.knob, PriorityNotice::Unset(entry)));
        let short = undone.into_iter();
        let short = short.map(|undone| (undone.knob, PriorityNotice::NotCarriedOut(undone)));
        for (knob, notice) in unset.chain(short) {
            if self.told.insert(knob) {
                self.notices.push(notice);
            }
        }
        let stuck = report.stuck.iter().map(|stuck| PriorityNotice::Stuck(stuck.clone()));
        self.notices.extend(stuck.filter(|_| report.stuck != self.report.stuck));
        self.report = report;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(number: u8) -> Level {
        Level::new(number).unwrap()
    }

    fn state(plan: Option<(u8, u8)>, operator: Option<OperatorWord>) -> State {
        let mut state = State { operator, ..State::default() };
        state.plan.request.level = plan.map(|(own, _)| level(own));
        state.plan.pod_level = plan.map(|(_, pod)| level(pod));
        state
    }

    #[test]
    fn a_word_about_one_container_lowers_no_other() {
        let alone = state(None, Some(OperatorWord::Container(Level::OFFLINE)));
        assert_eq!((alone.level(), alone.pod_level()), (Some(Level::OFFLINE), None));
        let lowered = state(Some((2, 2)), Some(OperatorWord::Container(Level::OFFLINE)));
        assert_eq!(lowered.pod_level(), Some(level(2)));
        let raised = state(Some((5, 5)), Some(OperatorWord::Container(level(1))));
        assert_eq!((raised.level(), raised.pod_level()), (Some(level(1)), Some(level(1))));
    }

    #[test]
    fn a_word_about_the_pod_is_about_its_cgroup_too() {
        let lowered = state(Some((0, 0)), Some(OperatorWord::Pod(Level::OFFLINE)));
        assert_eq!((lowered.level(), lowered.pod_level()), (Some(Level::OFFLINE), Some(Level::OFFLINE)));
        assert_eq!(lowered.source(), Some(LevelSource::Operator));
        let back = state(Some((3, 1)), None);
        assert_eq!((back.level(), back.pod_level()), (Some(level(3)), Some(level(1))));
    }

    #[test]
    fn what_is_not_done_is_told_once_for_each_knob() {
        let mut state = State::default();
        let entry = |knob, outcome| Entry { knob, asked: "7".into(), outcome, passed_over: Vec::new() };
        let report = Report {
            entries: vec![
                entry(Knob::DiskWeight, Outcome::Unset),
                entry(Knob::Memory, Outcome::Left { to: vec![Mechanism::MemoryQos, Mechanism::OomScoreAdj] }),
                entry(Knob::NetLimits, Outcome::Left { to: vec![Mechanism::PacketPacing] }),
            ],
            ..Report::default()
        };
        let undone = Undone {
            knob: Knob::NetLimits,
            mechanism: Mechanism::PacketPacing,
            why: "no qdisc is ours".to_owned(),
        };
        state.tell(report.clone(), vec![undone.clone()]);
        state.tell(report.clone(), vec![undone]);
        let told: Vec<String> = state.notices.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["disk-weight 7: not set", "net-limits: no packet-pacing: no qdisc is ours"]);
        let shown = ContainerPriority {
            level: None,
            source: None,
            report: state.report.clone(),
            undone: state.undone.clone(),
        };
        assert_eq!(
            shown.outcomes(),
            [
                "disk-weight 7: not set",
                "memory 7: by memory-qos oom-score-adj",
                "NOT SET net-limits: no packet-pacing: no qdisc is ours"
            ]
        );
        // And again only for what is new.
        let more = Report { entries: vec![entry(Knob::CpuBurst, Outcome::Unset)], ..report };
        state.tell(more, Vec::new());
        assert_eq!(state.notices.len(), 3);
    }
}
