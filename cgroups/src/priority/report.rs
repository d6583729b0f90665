//! What became of a request, knob by knob.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::knob::{Backend, Knob, Mechanism};
use super::level::Level;

/// What became of a container's request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The level that the container asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// One for each knob that was asked for, in the order of [`Knob::ALL`].
    pub entries: Vec<Entry>,
    /// What could not be taken back of an earlier request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<Stuck>,
}

/// A file that the kernel did not take its old value back in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// With its directory.
    pub path: PathBuf,
    /// What it was to hold.
    pub value: String,
    /// The kernel's answer.
    pub errno: i32,
}

impl fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, value, errno } = self;
        write!(
            formatter,
            "{} does not go back to {value:?}: the kernel refused it ({})",
            path.display(),
            words(*errno)
        )
    }
}

impl Report {
    /// The knobs that could not be set: a person should hear of them.
    pub fn unset(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.outcome == Outcome::Unset)
    }

    /// To be called by the caller that could not do what was [left](Outcome::Left) to it.
    pub fn not_done(&mut self, knob: Knob, mechanism: Mechanism, why: String) {
        let is_left = |entry: &&mut Entry| {
            entry.knob == knob && matches!(&entry.outcome, Outcome::Left { to } if to.contains(&mechanism))
        };
        if let Some(entry) = self.entries.iter_mut().find(is_left) {
            entry.outcome = Outcome::Unset;
            let reason = Reason::NotDone { mechanism, why };
            entry.passed_over.push(PassedOver { backend: Backend::Mainline, reason });
        }
    }

    /// What the caller has to do itself, with the knob that it is for.
    pub fn left(&self) -> impl Iterator<Item = (Knob, Mechanism)> {
        self.entries.iter().flat_map(|entry| {
            let to: &[Mechanism] = match &entry.outcome {
                Outcome::Left { to } => to,
                Outcome::Written { .. } | Outcome::Unset => &[],
            };
            to.iter().map(|mechanism| (entry.knob, *mechanism))
        })
    }
}

/// What became of one knob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub knob: Knob,
    /// What was asked for, in words.
    pub asked: String,
    /// What was done.
    pub outcome: Outcome,
    /// The backends that came before and did not do it, with the reason; for a knob that could not be set, all of them that have
    /// anything for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
}

/// What was done for a knob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The kernel does it.
    Written {
        /// Whose translation it is.
        backend: Backend,
        /// What the files hold for it. None when the neutral values are what was asked for.
        files: Vec<FileValue>,
    },
    /// No file of a cgroup does it on this kernel; the caller does.
    Left {
        /// By which means, all of them.
        to: Vec<Mechanism>,
    },
    /// Nobody can.
    Unset,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileValue {
    /// With its directory.
    pub path: PathBuf,
    /// What was written.
    pub value: String,
}

/// A backend that did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub backend: Backend,
    /// Why.
    pub reason: Reason,
}

/// Why a backend cannot do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// This cgroup does not have the file: another kernel, or a controller that is not enabled.
    Missing {
        /// The file.
        file: String,
    },
    /// The file is there, and a switch of the whole node makes it ineffective.
    GatedOff {
        /// The switch: a sysctl by its name, or a file.
        gate: String,
    },
    /// The switch itself cannot be read: the kernel module behind it is not loaded, or the kernel only has a stub of it.
    ModuleMissing {
        /// The switch.
        gate: String,
        /// What reading it gave.
        errno: i32,
    },
    /// The kernel refused the value.
    Refused {
        /// The file.
        file: String,
        /// The value.
        value: String,
        /// Its answer.
        errno: i32,
    },
    /// The container's own limits name that file, and come first.
    Taken {
        /// The file.
        file: String,
    },
    /// The backend has no value for exactly this.
    NotExpressible,
    /// The same file gives packets the level of everything else, and another one was asked for.
    NotSeparate {
        /// The file.
        file: String,
    },
    /// No disk of this node has a scheduler or a cost model that weighs.
    NoWeighingDisk,
    /// It is not done with files, and what does it did not.
    NotDone {
        /// By what it would be done.
        mechanism: Mechanism,
        /// Its answer.
        why: String,
    },
    /// It is relative to a memory limit, and there is none.
    NoMemoryLimit,
    /// It is on top of a CPU quota, and there is none.
    NoCpuQuota,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { file } => write!(formatter, "no {file}"),
            Self::GatedOff { gate } => write!(formatter, "{gate} is off"),
            Self::ModuleMissing { gate, errno } => {
                write!(formatter, "{gate} cannot be read: no kernel module behind it ({})", words(*errno))
            }
            Self::Refused { file, value, errno } => {
                write!(formatter, "the kernel refused {value:?} for {file} ({})", words(*errno))
            }
            Self::Taken { file } => write!(formatter, "{file} is set by the container's resources"),
            Self::NotExpressible => formatter.write_str("has no value for it"),
            Self::NotSeparate { file } => {
                write!(formatter, "{file} cannot tell packets from the rest, and their levels differ")
            }
            Self::NoWeighingDisk => {
                formatter.write_str("no disk has the scheduler bfq or mq-deadline, or io.cost.qos enabled")
            }
            Self::NotDone { mechanism, why } => write!(formatter, "no {mechanism}: {why}"),
            Self::NoMemoryLimit => formatter.write_str("it takes a memory limit, and the container has none"),
            Self::NoCpuQuota => formatter.write_str("it takes a CPU quota, and the container has none"),
        }
    }
}

fn words(errno: i32) -> String {
    std::io::Error::from(Errno::from_raw_os_error(errno)).to_string()
}

impl fmt::Display for Entry {
    /// One line: `cpu 7: mainline cpu.idle=1 (tencentos: kernel.cpu_qos is off)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: ", self.knob, self.asked)?;
        match &self.outcome {
            Outcome::Written { backend, files } => {
                write!(formatter, "{backend}")?;
                for FileValue { path, value } in files {
                    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                    write!(formatter, " {file}={value}")?;
                }
            }
            Outcome::Left { to } => {
                formatter.write_str("by")?;
                for mechanism in to {
                    write!(formatter, " {mechanism}")?;
                }
            }
            Outcome::Unset => formatter.write_str("not set")?,
        }
        for (index, PassedOver { backend, reason }) in self.passed_over.iter().enumerate() {
            write!(formatter, "{}{backend}: {reason}", if index == 0 { " (" } else { "; " })?;
        }
        if self.passed_over.is_empty() { Ok(()) } else { formatter.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Outcome, passed_over: Vec<PassedOver>) -> Entry {
        Entry { knob: Knob::Cpu, asked: "7".into(), outcome, passed_over }
    }

    #[test]
    fn an_entry_says_in_one_line_what_was_done_and_what_was_not() {
        let gated = PassedOver {
            backend: Backend::TencentOs,
            reason: Reason::GatedOff { gate: "kernel.cpu_qos".into() },
        };
        let refused = PassedOver {
            backend: Backend::OpenEuler,
            reason: Reason::Refused { file: "cpu.qos_level".into(), value: "-1".into(), errno: 22 },
        };
        let files = vec![FileValue { path: "/sys/fs/cgroup/a/cpu.idle".into(), value: "1".into() }];
        let written =
            entry(Outcome::Written { backend: Backend::Mainline, files }, vec![gated.clone(), refused]);
        assert_eq!(
            written.to_string(),
            "cpu 7: mainline cpu.idle=1 (tencentos: kernel.cpu_qos is off; openeuler: the kernel refused \"-1\" for \
             cpu.qos_level (Invalid argument (os error 22)))"
        );
        assert_eq!(
            entry(Outcome::Unset, vec![gated]).to_string(),
            "cpu 7: not set (tencentos: kernel.cpu_qos is off)"
        );
        let left = entry(Outcome::Left { to: vec![Mechanism::MemoryQos, Mechanism::OomScoreAdj] }, vec![]);
        assert_eq!(left.to_string(), "cpu 7: by memory-qos oom-score-adj");
    }

    #[test]
    fn what_was_left_and_not_done_is_unset_with_its_reason() {
        let left = Outcome::Left { to: vec![Mechanism::CoreScheduling] };
        let mut report = Report { entries: vec![entry(left, vec![])], ..Report::default() };
        report.not_done(Knob::NetLimits, Mechanism::CoreScheduling, "another knob".into());
        report.not_done(Knob::Cpu, Mechanism::PacketPacing, "another mechanism".into());
        assert_eq!(report.unset().count(), 0);
        report.not_done(Knob::Cpu, Mechanism::CoreScheduling, "this machine has no SMT".into());
        let unset: Vec<String> = report.unset().map(ToString::to_string).collect();
        assert_eq!(unset, ["cpu 7: not set (mainline: no core-scheduling: this machine has no SMT)"]);
        assert_eq!(report.left().count(), 0);
    }

    #[test]
    fn a_report_survives_its_text_and_tells_what_is_open() {
        let report = Report {
            level: Some(Level::OFFLINE),
            entries: vec![
                entry(Outcome::Unset, vec![]),
                entry(Outcome::Left { to: vec![Mechanism::OomScoreAdj] }, vec![]),
            ],
            stuck: vec![Stuck {
                path: "/sys/fs/cgroup/a/cpu.qos_level".into(),
                value: "0".into(),
                errno: 22,
            }],
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert_eq!(report.unset().count(), 1);
        assert_eq!(report.left().collect::<Vec<_>>(), [(Knob::Cpu, Mechanism::OomScoreAdj)]);
    }
}
