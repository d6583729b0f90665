//! A container's memory QoS as it is: what the files say, where it came from, and what the kernel did about it.

use super::class::{PodPlace, QosClass};
use super::decision::Decision;
use super::levels::value_of;
use super::mark::Mark;
use super::notice::Gap;
use super::policy::Mode;
use super::setting::{Knob, RequestSource, Source};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::statistics::{MemoryEvents, Pressure, parse_pressure};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The memory QoS of one container at one moment. `u64::MAX` stands for "max".
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedMemoryQos {
    /// The policy at the time of the decision; `None` when there was nothing to decide beyond what kubelet sent.
    pub policy: Option<Mode>,
    /// The pod's class, when kubelet laid its place out.
    pub class: Option<QosClass>,
    /// The memory request that values were derived from: bytes, how much more it can have been, where it came from.
    pub request: Option<(u64, u64, RequestSource)>,
    /// `memory.max`, in bytes.
    pub max: u64,
    /// `memory.current`, in bytes.
    pub current: u64,
    /// One for each file that this kernel has.
    pub values: Vec<ObservedValue>,
    /// What was asked for and not set because the policy was off.
    pub withheld: Vec<(Knob, Source)>,
    /// The cgroups above, the nearest first.
    pub ancestors: Vec<ObservedLevel>,
    /// Where they protect less than the container asks for.
    pub gaps: Vec<Gap>,
    /// What the kernel did.
    pub events: MemoryEvents,
    /// How long that kept the container's processes waiting; `None` on kernels without PSI.
    pub pressure: Option<Pressure>,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedValue {
    /// Which.
    pub knob: Knob,
    /// What it holds; for `memory.oom.group` 0 or 1.
    pub value: u64,
    /// Who decided so; `None` for the kernel's own neutral value.
    pub source: Option<Source>,
    /// What was decided, when the file holds something else by now.
    pub decided: Option<u64>,
}

/// One cgroup above a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLevel {
    /// Its directory.
    pub directory: PathBuf,
    /// `memory.min`, in bytes.
    pub min: u64,
    /// `memory.low`, in bytes.
    pub low: u64,
    /// Whether Ballast keeps its values in line with its children.
    pub kept: bool,
}

impl Cgroup {
    /// Looks at the container's memory QoS.
    ///
    /// # Errors
    /// Of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn observe_memory_qos(&self) -> Result<ObservedMemoryQos> {
        let note = self.read_note()?;
        let decided = note.clone().unwrap_or_default();
        let mut values = Vec::new();
        for knob in Knob::ALL {
            match self.read(knob.file()) {
                // Swap is not accounted on every node.
                Err(Error::FileMissing { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => values.push(self.observe(knob, &decided)?),
            }
        }
        let pressure = match self.read("memory.pressure") {
            Ok(content) => parse_pressure(&content),
            // Neither compiled in nor, with `psi=0`, readable.
            Err(_) => None,
        };
        let current = value_of(&self.directory, "memory.current")?.bytes();
        Ok(ObservedMemoryQos {
            policy: note.as_ref().map(|note| note.mode),
            class: PodPlace::of(self.path()).map(|place| place.class()),
            request: decided.request.map(|request| (request.bytes, request.slack, request.source)),
            max: value_of(&self.directory, "memory.max")?.bytes(),
            current,
            values,
            withheld: decided.withheld,
            ancestors: self.observe_ancestors()?,
            gaps: self.protection_gaps()?,
            events: self.memory_events()?,
            pressure,
        })
    }

    fn observe(&self, knob: Knob, note: &Decision) -> Result<ObservedValue> {
        let value = value_of(&self.directory, knob.file())?;
        let decided = note.setting(knob);
        // What nobody noted and is not neutral was sent by kubelet.
        let sent = (value != knob.neutral()).then_some(Source::Kubelet);
        Ok(ObservedValue {
            knob,
            value: value.bytes(),
            source: decided.map(|setting| setting.source).or(sent),
            decided: decided.map(|setting| setting.value.bytes()).filter(|decided| {
                // The kernel keeps whole pages.
                decided.abs_diff(value.bytes()) >= PAGE_MAX
            }),
        })
    }

    fn observe_ancestors(&self) -> Result<Vec<ObservedLevel>> {
        let level = |directory: &crate::directory::Directory| {
            Ok(ObservedLevel {
                directory: directory.path().to_owned(),
                min: value_of(directory, Knob::Min.file())?.bytes(),
                low: value_of(directory, Knob::Low.file())?.bytes(),
                kept: Mark::read(directory.as_fd(), directory.path())?.is_some(),
            })
        };
        self.ancestors()?.iter().map(level).collect()
    }
}

/// The largest page that a kernel counts memory in.
const PAGE_MAX: u64 = 65_536;
