//! A pod's cgroup: what it gets follows from what is asked of it and of the containers in it, by their notes.

use super::apply::{carry_out, cpu_weight, reject, wanted};
use super::backend::{Ask, Here};
use super::files::Files;
use super::ledger::{Followers, Ledger};
use super::level::Level;
use super::note::{self, ContainerNote, PodNote};
use super::plan::{Choice, Rejected, Taken, plan};
use super::probe::Probe;
use super::report::Stuck;
use super::request::Request;
use super::slot::Slot;
use crate::error::{Result, ignore_gone};

/// What is asked of a pod's cgroup.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// This, from now on.
    Level(Option<Level>),
    /// What was asked before, as long as one of its containers has a note.
    AsBefore,
}

/// What was written on a pod's cgroup.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) choices: Vec<Choice>,
    pub(super) stuck: Vec<Stuck>,
}

/// Brings a pod's cgroup in line with what is asked of it and of its containers: the kernel gives no container more than
/// the cgroup above has, so the highest of all counts.
pub(super) fn settle_pod(
    files: &dyn Files,
    pod: &str,
    asked: Asked,
    rejected: &mut Vec<Rejected>,
) -> Result<Settled> {
    let known: Option<PodNote> = note::read(files, pod)?;
    let wish = match asked {
        Asked::Level(level) => level,
        Asked::AsBefore => known.as_ref().and_then(|note| note.level),
    };
    if known.is_none() && wish.is_none() {
        return Ok(Settled::default());
    }
    let containers = Containers::of(files, pod)?;
    let level = match asked {
        Asked::AsBefore if containers.noted.is_empty() => None,
        _ => wish,
    };
    let highest = level.map(|level| containers.highest().map_or(level, |highest| level.min(highest)));
    let mut note = PodNote { level, held: known.map(|note| note.held).unwrap_or_default() };
    let request = Request { level: highest, ..Request::default() };
    let mut settled = loop {
        if let Some(settled) = bring_pod(files, pod, &mut note, &request, &containers, rejected)? {
            break settled;
        }
    };
    settled.stuck.extend(containers.reassert(files, pod)?);
    if note == PodNote::default() {
        note::remove(files, pod)?;
    } else {
        note::write(files, pod, &note)?;
    }
    Ok(settled)
}

/// One attempt at the pod's files. `None` when the kernel refused something, which is then among `rejected`; what was written before that
/// is in the note.
fn bring_pod(
    files: &dyn Files,
    pod: &str,
    note: &mut PodNote,
    request: &Request,
    containers: &Containers,
    rejected: &mut Vec<Rejected>,
) -> Result<Option<Settled>> {
    let probe = Probe::of(files, pod)?;
    let mut ledger = Ledger {
        files,
        directory: pod,
        parent: pod.rsplit_once('/').map(|(parent, _)| parent),
        followers: Followers::Children(containers.with_own_slots()),
        held: std::mem::take(&mut note.held),
        stuck: Vec::new(),
    };
    let cpu_weight = cpu_weight(&ledger)?;
    let ask = Ask { files, directory: pod, probe: &probe, here: Here::Pod, request, cpu_weight };
    let choices = plan(&ask, &Taken::new(), rejected);
    let wanted = wanted(&choices);
    let refused = carry_out(&mut ledger, &wanted, |held| {
        note.held = held.to_vec();
        note::write(files, pod, note)
    })?;
    note.held = ledger.held;
    let Some((slot, reason)) = refused else {
        return Ok(Some(Settled { choices, stuck: ledger.stuck }));
    };
    reject(&choices, &slot, &reason, rejected);
    Ok(None)
}

/// The cgroups directly below a pod's.
struct Containers {
    /// Those that asked for something.
    noted: Vec<(String, ContainerNote)>,
    others: Vec<String>,
}

impl Containers {
    fn of(files: &dyn Files, pod: &str) -> Result<Self> {
        let mut containers = Self { noted: Vec::new(), others: Vec::new() };
        for name in files.children(pod)? {
            let path = format!("{pod}/{name}");
            match note::read(files, &path) {
                Ok(Some(note)) => containers.noted.push((path, note)),
                Ok(None) => containers.others.push(path),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(containers)
    }

    /// All of them, with the slots that hold what they asked for themselves.
    fn with_own_slots(&self) -> Vec<(String, Vec<Slot>)> {
        let slots = |note: &ContainerNote| note.held.iter().map(|held| held.slot.clone()).collect();
        let noted = self.noted.iter().map(|(path, note)| (path.clone(), slots(note)));
        noted.chain(self.others.iter().map(|path| (path.clone(), Vec::new()))).collect()
    }

    /// Gives them their own values once more, where the kernel gave them the pod's.
    fn reassert(self, files: &dyn Files, pod: &str) -> Result<Vec<Stuck>> {
        // One that is still on its way to another level is not held to the one before.
        let is_settled = |note: &ContainerNote| note.report.level == note.request.level;
        let mut stuck = Vec::new();
        for (container, note) in self.noted.into_iter().filter(|(_, note)| is_settled(note)) {
            let mut ledger = Ledger {
                files,
                directory: &container,
                parent: Some(pod),
                followers: Followers::Below,
                held: note.held,
                stuck: Vec::new(),
            };
            ignore_gone(ledger.reassert())?;
            stuck.append(&mut ledger.stuck);
        }
        Ok(stuck)
    }

    fn highest(&self) -> Option<Level> {
        self.noted.iter().filter_map(|(_, note)| note.request.level).min()
    }
}
