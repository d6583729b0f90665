//! What a kernel has, found by looking: the files of one cgroup, and the node's switches that make them effective. Switches are
//! asked for when a translation depends on them, and only once.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use super::files::{Disk, Files};
use super::report::Reason;
use crate::error::Result;

/// A switch of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// As people write it: `kernel.cpu_qos`, or an absolute path.
    pub(super) name: &'static str,
    pub(super) when_absent: WhenAbsent,
}

/// What it means that a kernel does not have a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenAbsent {
    /// What it switches is always on there.
    On,
    /// What it switches is not there either.
    Off,
}

impl Gate {
    pub(super) const fn required(name: &'static str) -> Self {
        Self { name, when_absent: WhenAbsent::Off }
    }

    pub(super) const fn if_there(name: &'static str) -> Self {
        Self { name, when_absent: WhenAbsent::On }
    }

    fn path(self) -> String {
        if self.name.starts_with('/') {
            self.name.to_owned()
        } else {
            format!("/proc/sys/{}", self.name.replace('.', "/"))
        }
    }
}

/// What was found on one cgroup and its node.
pub(super) struct Probe<'a> {
    files: &'a dyn Files,
    names: BTreeSet<String>,
    gates: RefCell<BTreeMap<&'static str, Option<Reason>>>,
    disks: OnceCell<Vec<Disk>>,
}

impl<'a> Probe<'a> {
    pub(super) fn of(files: &'a dyn Files, directory: &str) -> Result<Self> {
        let names = files.names(directory)?.into_iter().collect();
        Ok(Self { files, names, gates: RefCell::default(), disks: OnceCell::new() })
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.names.contains(file)
    }

    pub(super) fn disks(&self) -> &[Disk] {
        self.disks.get_or_init(|| self.files.disks())
    }

    /// The first of `files` that is not there.
    pub(super) fn missing(&self, files: &[&str]) -> Option<Reason> {
        let missing = files.iter().find(|file| !self.has(file))?;
        Some(Reason::Missing { file: (*missing).to_owned() })
    }

    /// Why not every group of `gates` has one that is on.
    pub(super) fn gated(&self, gates: &[&[Gate]]) -> Option<Reason> {
        gates.iter().find_map(|group| {
            let mut closed = group.iter().map(|gate| self.closed(*gate));
            let first = closed.next()??;
            closed.all(|reason| reason.is_some()).then_some(first)
        })
    }

    fn closed(&self, gate: Gate) -> Option<Reason> {
        let mut gates = self.gates.borrow_mut();
        gates.entry(gate.name).or_insert_with(|| why_closed(gate, self.files.node(&gate.path()))).clone()
    }
}

fn why_closed(gate: Gate, content: rustix::io::Result<String>) -> Option<Reason> {
    let name = gate.name.to_owned();
    match content {
        Ok(content) if matches!(content.trim(), "0" | "N" | "disabled") => {
            Some(Reason::GatedOff { gate: name })
        }
        Ok(_) => None,
        Err(Errno::NOENT) if gate.when_absent == WhenAbsent::On => None,
        Err(Errno::NOENT) => Some(Reason::Missing { file: name }),
        // A stub answers every access like this, and so does a switch whose module is not loaded.
        Err(errno) => Some(Reason::ModuleMissing { gate: name, errno: errno.raw_os_error() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_judged_by_what_reading_it_gives() {
        let required = Gate::required("kernel.cpu_qos");
        let optional = Gate::if_there("kernel.cpu_qos");
        assert_eq!(required.path(), "/proc/sys/kernel/cpu_qos");
        assert_eq!(Gate::required("/sys/x").path(), "/sys/x");
        assert_eq!(why_closed(required, Ok("1\n".into())), None);
        let off = Some(Reason::GatedOff { gate: "kernel.cpu_qos".into() });
        assert_eq!(why_closed(required, Ok("0\n".into())), off);
        assert_eq!(why_closed(optional, Ok("0".into())), off);
        let missing = Some(Reason::Missing { file: "kernel.cpu_qos".into() });
        assert_eq!(why_closed(required, Err(Errno::NOENT)), missing);
        assert_eq!(why_closed(optional, Err(Errno::NOENT)), None);
        for errno in [Errno::INVAL, Errno::PERM, Errno::BUSY] {
            let stub =
                Some(Reason::ModuleMissing { gate: "kernel.cpu_qos".into(), errno: errno.raw_os_error() });
            assert_eq!(why_closed(optional, Err(errno)), stub);
        }
    }
}
