//! Priorities and limits on the same files: who writes what. A file that the limits name is theirs; `cpu.weight` is the limits'
//! base, which a level lowers.

use super::files::Files;
use super::ledger::{Followers, Ledger};
use super::note::{self, ContainerNote, Held};
use super::plan::Taken;
use super::slot::Slot;
use crate::error::Result;
use crate::limits::Limits;

/// What a container's limits say about files that a priority writes, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) taken: Taken,
    /// `cpu.weight`; `None` when it stays as it was.
    pub(super) cpu_weight: Option<u64>,
}

impl Sent {
    pub(super) fn by(limits: &Limits) -> Self {
        Self { taken: taken_by(limits), cpu_weight: take_weight(&mut limits.clone()) }
    }
}

/// The slots that `limits` set by themselves.
fn taken_by(limits: &Limits) -> Taken {
    let mut taken = Taken::new();
    for file in limits.unified.iter().filter(|file| file.name != "cpu.weight") {
        match file.name.as_str() {
            "io.max" => {
                let devices = file.lines().filter_map(|line| line.split(' ').next());
                taken.extend(devices.map(|device| format!("io.max {device}")));
            }
            name => {
                taken.insert(Slot::file(name).to_string());
            }
        }
    }
    if limits.cpu.idle.is_some() {
        taken.insert(Slot::CpuShare.to_string());
    }
    if limits.cpu.burst.is_some() {
        taken.insert("cpu.max.burst".to_owned());
    }
    if limits.io.weight.is_some() || !limits.io.device_weights.is_empty() {
        taken.extend(["io.weight", "io.bfq.weight"].map(str::to_owned));
    }
    taken.extend(limits.io.throttles.iter().map(|throttle| Slot::Rates(throttle.device).to_string()));
    taken
}

/// Prepares for `limits` to be written: gives back what they set by themselves, and what stands against them, and
/// keeps from them what must not be written now.
pub(super) fn fit(files: &dyn Files, container: &str, limits: &mut Limits) -> Result<()> {
    let Some(mut note) = note::read::<ContainerNote>(files, container)? else { return Ok(()) };
    let taken = taken_by(limits);
    let changes_quota = limits.cpu.quota.is_some() || limits.cpu.period.is_some();
    let yields = |held: &Held| {
        let name = held.slot.to_string();
        // The kernel refuses a quota below the burst.
        taken.contains(&name) || (name == "cpu.max.burst" && (changes_quota || names(limits, "cpu.max")))
    };
    let (yielded, kept): (Vec<Held>, Vec<Held>) = note.held.drain(..).partition(yields);
    let is_held = !yielded.is_empty();
    let mut ledger = Ledger {
        files,
        directory: container,
        parent: None,
        followers: Followers::Below,
        held: yielded,
        stuck: Vec::new(),
    };
    if is_held && ledger.announce(&[])? {
        note.held = [ledger.held.as_slice(), &kept].concat();
        note::write(files, container, &note)?;
        ledger.give_back(&[])?;
    }
    // What could not be given back stays known.
    note.held = [ledger.held, kept].concat();
    if note.held.iter().any(|held| held.slot == Slot::CpuShare) {
        take_weight(limits);
    }
    note::write(files, container, &note)
}

fn names(limits: &Limits, file: &str) -> bool {
    limits.unified.iter().any(|unified| unified.name == file)
}

/// Takes the weight out of `limits`; by the file's own name it comes first.
fn take_weight(limits: &mut Limits) -> Option<u64> {
    let by_name = limits.unified.iter().find(|file| file.name == "cpu.weight");
    let by_name = by_name.and_then(|file| file.value.trim().parse().ok());
    limits.unified.retain(|file| file.name != "cpu.weight");
    by_name.or(limits.cpu.weight.take())
}
