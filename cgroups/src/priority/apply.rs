//! Carrying out a request: the pod's cgroup first, because it bounds its children, then the container's. What the kernel refuses is
//! given to the next backend. Knows no backend's files.

use super::backend::{Ask, Here, Setting};
use super::files::Files;
use super::fit::Sent;
use super::ledger::{Followers, Ledger};
use super::level::Level;
use super::note::{self, ContainerNote};
use super::plan::{Choice, Chosen, Rejected, plan};
use super::pod::{Asked, Settled, settle_pod};
use super::probe::Probe;
use super::report::{Entry, FileValue, Outcome, Reason, Report};
use super::request::Request;
use super::slot::Slot;
use crate::error::Result;

/// A container's cgroup and its pod's, by their paths below the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) container: &'a str,
    pub(super) pod: Option<&'a str>,
}

/// Brings a container, and its pod's cgroup, in line with what is asked. `sent` is what the container's limits say; `None` when they
/// are as they were.
pub(super) fn apply(
    files: &dyn Files,
    target: Target<'_>,
    pod_level: Option<Level>,
    request: &Request,
    sent: Option<Sent>,
) -> Result<Report> {
    let known: Option<ContainerNote> = note::read(files, target.container)?;
    let is_known = known.is_some();
    let mut note = known.unwrap_or_default();
    note.request = request.clone();
    if let Some(sent) = sent {
        note.listen_to(sent);
    }
    if is_known || !request.is_empty() {
        // First of all: the pod's level follows from its containers' notes.
        note::write(files, target.container, &note)?;
    }
    let mut rejected = Vec::new();
    let outcome = loop {
        let pod = match target.pod {
            Some(pod) => settle_pod(files, pod, Asked::Level(pod_level), &mut rejected)?,
            None => Settled::default(),
        };
        if let Some(choices) = bring(files, target, &mut note, &mut rejected)? {
            break report(files, target, request, choices, pod);
        }
    };
    note.report.entries = outcome.entries.clone();
    note.report.level = request.level;
    // What is stuck on the container was noted on the way.
    note.report.stuck.extend(outcome.stuck);
    let report = note.report.clone();
    if request.is_empty() && note.held.is_empty() {
        note::remove(files, target.container)?;
    } else {
        note::write(files, target.container, &note)?;
    }
    Ok(report)
}

/// One attempt at the container's files. `None` when the kernel refused something, which is then among `rejected`.
fn bring(
    files: &dyn Files,
    target: Target<'_>,
    note: &mut ContainerNote,
    rejected: &mut Vec<Rejected>,
) -> Result<Option<Vec<Choice>>> {
    let probe = Probe::of(files, target.container)?;
    let request = note.request.clone();
    let mut ledger = Ledger {
        files,
        directory: target.container,
        parent: target.pod,
        followers: Followers::Below,
        held: std::mem::take(&mut note.held),
        stuck: Vec::new(),
    };
    let ask = Ask {
        files,
        directory: target.container,
        probe: &probe,
        here: Here::Container,
        request: &request,
        cpu_weight: cpu_weight(&ledger)?,
    };
    let choices = plan(&ask, &note.taken, rejected);
    let wanted = wanted(&choices);
    let refused = carry_out(&mut ledger, &wanted, |held| {
        note.held = held.to_vec();
        note::write(files, target.container, note)
    })?;
    note.held = ledger.held;
    note.report.stuck = ledger.stuck;
    Ok(match refused {
        None => Some(choices),
        Some((slot, reason)) => {
            reject(&choices, &slot, &reason, rejected);
            None
        }
    })
}

/// Gives back what is not wanted any more, and writes what is.
pub(super) fn carry_out(
    ledger: &mut Ledger<'_>,
    wanted: &[Setting],
    save: impl FnOnce(&[note::Held]) -> Result<()>,
) -> Result<Option<(Slot, Reason)>> {
    if !ledger.announce(wanted)? {
        return Ok(None);
    }
    save(&ledger.held)?;
    ledger.give_back(wanted)?;
    ledger.write_announced(wanted)
}

/// `cpu.weight` as the limits, or kubelet for a pod, have it, and not as we made it.
pub(super) fn cpu_weight(ledger: &Ledger<'_>) -> Result<Option<u64>> {
    let current = ledger.value_of(&Slot::CpuShare)?;
    let held = ledger.held.iter().find(|held| held.slot == Slot::CpuShare);
    let is_ours = |held: &&note::Held| current.as_deref().is_some_and(|current| held.is_ours(current));
    let before = held.filter(is_ours).map(|held| held.before.clone());
    Ok(before.or(current).and_then(|weight| weight.parse().ok()))
}

/// All settings; where two knobs share a slot, the later one's value.
pub(super) fn wanted(choices: &[Choice]) -> Vec<Setting> {
    let mut wanted: Vec<Setting> = Vec::new();
    for setting in choices.iter().flat_map(settings) {
        match wanted.iter_mut().find(|earlier| earlier.slot == setting.slot) {
            Some(earlier) => earlier.value.clone_from(&setting.value),
            None => wanted.push(setting.clone()),
        }
    }
    wanted
}

pub(super) fn settings(choice: &Choice) -> &[Setting] {
    match &choice.chosen {
        Chosen::Written { settings, .. } => settings,
        Chosen::Left(_) | Chosen::Unset => &[],
    }
}

pub(super) fn reject(choices: &[Choice], slot: &Slot, reason: &Reason, rejected: &mut Vec<Rejected>) {
    for choice in choices {
        if let Chosen::Written { row, settings, .. } = &choice.chosen
            && settings.iter().any(|setting| setting.slot == *slot)
        {
            rejected.push(Rejected { row: *row, reason: reason.clone() });
        }
    }
}

fn report(
    files: &dyn Files,
    target: Target<'_>,
    request: &Request,
    choices: Vec<Choice>,
    pod: Settled,
) -> Report {
    let final_values = wanted(&choices);
    let written = |directory: &str, setting: &Setting| {
        let (file, value) = setting.slot.as_written(&setting.value);
        FileValue { path: files.path(directory).join(file), value }
    };
    let above = |choice: &Choice| -> Vec<FileValue> {
        let same_knob = pod.choices.iter().filter(|above| above.knob == choice.knob).flat_map(settings);
        target.pod.map(|pod| same_knob.map(|setting| written(pod, setting)).collect()).unwrap_or_default()
    };
    let own = |choice: &Choice| -> Vec<FileValue> {
        let own = settings(choice)
            .iter()
            .filter_map(|setting| final_values.iter().find(|last| last.slot == setting.slot));
        own.map(|setting| written(target.container, setting)).collect()
    };
    let entry = |choice: Choice| {
        let outcome = match &choice.chosen {
            Chosen::Written { backend, .. } => {
                let mut files = above(&choice);
                files.extend(own(&choice));
                Outcome::Written { backend: *backend, files }
            }
            Chosen::Left(mechanisms) => Outcome::Left { to: mechanisms.to_vec() },
            Chosen::Unset => Outcome::Unset,
        };
        Entry { knob: choice.knob, asked: choice.asked, outcome, passed_over: choice.passed_over }
    };
    Report { level: request.level, entries: choices.into_iter().map(entry).collect(), stuck: pod.stuck }
}
