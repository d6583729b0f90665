//! A place for one value in the files of a cgroup: mostly a whole file; sometimes two files that are one thing to the kernel, or
//! one line of a file. Knows how each is read, written and left as if nobody had been there; not what is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::backend::TABLES;
use super::files::Files;
use crate::error::{Error, Result};
use crate::limits::DeviceNumber;

/// A place for one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) enum Slot {
    /// A whole file.
    File(String),
    /// `cpu.weight` and `cpu.idle` together: a number or `idle`. The kernel refuses a weight while the cgroup is idle, and sets it
    /// to 100 when it ceases to be.
    CpuShare,
    /// The `default` line of `io.weight` or `io.bfq.weight`.
    DefaultWeight(Weigher),
    /// The line of `io.max` for one disk.
    Rates(DeviceNumber),
}

/// Who weighs a disk's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weigher {
    /// The cost model, with `io.weight`.
    CostModel,
    /// The scheduler BFQ, with `io.bfq.weight`.
    Bfq,
}

impl Weigher {
    fn file(self) -> &'static str {
        match self {
            Self::CostModel => "io.weight",
            Self::Bfq => "io.bfq.weight",
        }
    }
}

/// What stands for a cgroup whose `cpu.idle` is 1.
pub(super) const IDLE: &str = "idle";

const CPU_WEIGHT: &str = "cpu.weight";
const CPU_IDLE: &str = "cpu.idle";
const IO_MAX: &str = "io.max";
const RATE_KEYS: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];

/// What a slot holds when nobody asks for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neutral {
    /// What it held before.
    Before,
    /// What the cgroup above holds. The kernel gives it to a new cgroup, or may do so.
    Inherited,
    /// Always the same.
    Value(&'static str),
}

impl Slot {
    pub(super) fn file(name: &str) -> Self {
        match name {
            CPU_WEIGHT | CPU_IDLE => Self::CpuShare,
            "io.weight" => Self::DefaultWeight(Weigher::CostModel),
            "io.bfq.weight" => Self::DefaultWeight(Weigher::Bfq),
            other => Self::File(other.to_owned()),
        }
    }

    /// The file whose presence says that the kernel has this.
    pub(super) fn file_name(&self) -> &str {
        match self {
            Self::File(name) => name,
            Self::CpuShare => CPU_WEIGHT,
            Self::DefaultWeight(weigher) => weigher.file(),
            Self::Rates(_) => IO_MAX,
        }
    }

    pub(super) fn neutral(&self) -> Neutral {
        let mut known = TABLES.iter().flat_map(|table| table.neutral);
        let neutral = known.find(|(file, _)| *file == self.file_name());
        neutral.map_or(Neutral::Before, |(_, neutral)| *neutral)
    }

    pub(super) fn read(&self, files: &dyn Files, directory: &str) -> Result<String> {
        match self {
            Self::File(name) => files.read(directory, name),
            Self::CpuShare if is_idle(files, directory)? => Ok(IDLE.to_owned()),
            Self::CpuShare => files.read(directory, CPU_WEIGHT),
            Self::DefaultWeight(weigher) => {
                let content = files.read(directory, weigher.file())?;
                let first = content.lines().next().unwrap_or_default();
                Ok(first.strip_prefix("default ").unwrap_or(first).to_owned())
            }
            Self::Rates(device) => {
                let content = files.read(directory, IO_MAX)?;
                Ok(rates_of(&content, *device))
            }
        }
    }

    pub(super) fn write(&self, files: &dyn Files, directory: &str, value: &str) -> Result<()> {
        match self {
            Self::File(name) => files.write(directory, name, value),
            Self::CpuShare if value == IDLE => files.write(directory, CPU_IDLE, "1"),
            Self::CpuShare => {
                if is_idle(files, directory)? {
                    files.write(directory, CPU_IDLE, "0")?;
                }
                files.write(directory, CPU_WEIGHT, value)
            }
            Self::DefaultWeight(weigher) => {
                files.write(directory, weigher.file(), &format!("default {value}"))
            }
            Self::Rates(device) => files.write(directory, IO_MAX, &format!("{device} {value}")),
        }
    }

    /// What [`Files::write`] writes where for `value`, in the order of the report.
    pub(super) fn as_written(&self, value: &str) -> (&str, String) {
        match self {
            Self::CpuShare if value == IDLE => (CPU_IDLE, "1".to_owned()),
            Self::DefaultWeight(weigher) => (weigher.file(), format!("default {value}")),
            Self::Rates(device) => (IO_MAX, format!("{device} {value}")),
            Self::File(_) | Self::CpuShare => (self.file_name(), value.to_owned()),
        }
    }
}

/// Before Linux 5.15 no cgroup is ever idle.
fn is_idle(files: &dyn Files, directory: &str) -> Result<bool> {
    match files.read(directory, CPU_IDLE) {
        Ok(content) => Ok(content == "1"),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// All four rates of a disk, as they are written: `rbps=max wbps=1048576 riops=max wiops=max`.
fn rates_of(content: &str, device: DeviceNumber) -> String {
    let prefix = format!("{device} ");
    let line = content.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
    let rate = |key: &str| {
        line.split(' ')
            .filter_map(|word| word.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
            .unwrap_or("max")
    };
    RATE_KEYS.map(|key| format!("{key}={}", rate(key))).join(" ")
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rates(device) => write!(formatter, "{IO_MAX} {device}"),
            other => formatter.write_str(other.file_name()),
        }
    }
}

impl FromStr for Slot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(device) = text.strip_prefix("io.max ") else { return Ok(Self::file(text)) };
        let numbers = device.split_once(':').and_then(|(major, minor)| {
            Some(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        numbers.map(Self::Rates).ok_or_else(|| Error::format(IO_MAX.as_ref(), "device number", device))
    }
}

impl TryFrom<String> for Slot {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disks_line_is_completed() {
        let device = DeviceNumber { major: 8, minor: 0 };
        let content = "8:16 rbps=1 wbps=2 riops=3 wiops=4\n8:0 rbps=max wbps=5 riops=max wiops=max\n";
        assert_eq!(rates_of(content, device), "rbps=max wbps=5 riops=max wiops=max");
        assert_eq!(rates_of("", device), "rbps=max wbps=max riops=max wiops=max");
        assert_eq!(
            rates_of("8:1 rbps=5 wbps=5 riops=5 wiops=5", device),
            "rbps=max wbps=max riops=max wiops=max"
        );
    }

    #[test]
    fn a_slot_survives_its_text() {
        for text in ["io.max 259:3", "io.weight", "io.bfq.weight", "cpu.weight", "cgroup.priority"] {
            assert_eq!(text.parse::<Slot>().unwrap().to_string(), text);
        }
        assert_eq!("cpu.idle".parse::<Slot>().unwrap(), Slot::CpuShare);
        assert!("io.max sda".parse::<Slot>().is_err());
    }
}
