//! What a backend is: a table with a row for each knob that its kernels have something for. The tables are in the modules
//! below, one each; nothing else in this directory knows a backend's files. Users read the same tables in `docs/priorities.md`.

mod anolis;
mod mainline;
mod opencloudos;
mod openeuler;
mod tencentos;

use super::files::Files;
use super::knob::{Backend, Knob, Mechanism};
use super::level::Level;
use super::probe::{Gate, Probe};
use super::report::Reason;
use super::request::Request;
use super::slot::{Neutral, Slot};

/// In the order in which they are asked.
pub(super) const TABLES: [&Table; 5] =
    [&tencentos::TABLE, &opencloudos::TABLE, &anolis::TABLE, &openeuler::TABLE, &mainline::TABLE];

/// A backend's translations.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) backend: Backend,
    pub(super) rows: &'static [Row],
    /// What files hold when nobody asks for anything, if that is not simply what they held before.
    pub(super) neutral: &'static [(&'static str, Neutral)],
}

/// One way to do one knob.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) knob: Knob,
    /// The files that it takes, all of them. They are how the kernel is recognised.
    pub(super) files: &'static [&'static str],
    /// Files of another kernel that has those above, too, with another meaning.
    pub(super) unless: &'static [&'static str],
    /// What makes the files effective: of each group one switch.
    pub(super) gates: &'static [&'static [Gate]],
    pub(super) work: Work,
}

/// How a row does its knob.
#[derive(Debug)]
pub(super) enum Work {
    /// By the level alone.
    Levels(&'static [Column]),
    /// By what is asked for, on the pod's cgroup as well.
    Both(fn(&Ask<'_>) -> Result<Vec<Setting>, Reason>),
    /// By what is asked for.
    Values(fn(&Ask<'_>) -> Result<Vec<Setting>, Reason>),
    /// Not with files.
    Left(&'static [Mechanism]),
}

/// A file and its value for each level; with `None` the level is the next backend's.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) file: &'static str,
    pub(super) at: At,
    pub(super) values: [Option<&'static str>; 8],
}

/// Which cgroups have a column's file written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The pod's and the container's.
    Both,
    /// As [`Both`](At::Both), on kernels that have the file.
    BothIfThere,
    /// The pod's, on kernels that have the file: it governs what is below.
    PodIfThere,
}

/// A cgroup with something to translate for.
pub(super) struct Ask<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) directory: &'a str,
    pub(super) probe: &'a Probe<'a>,
    pub(super) here: Here,
    pub(super) request: &'a Request,
    /// `cpu.weight` as the container's limits have it; a pod's as kubelet has it.
    pub(super) cpu_weight: Option<u64>,
}

/// Which cgroup it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    Pod,
    Container,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) slot: Slot,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn new(file: &str, value: impl ToString) -> Self {
        Self { slot: Slot::file(file), value: value.to_string() }
    }
}

impl Ask<'_> {
    /// `memory.max` in bytes.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        self.bytes("memory.max")
    }

    /// The content of a file of bytes; `None` for "max".
    pub(super) fn bytes(&self, file: &str) -> Option<u64> {
        self.files.read(self.directory, file).ok()?.parse().ok()
    }
}

impl Row {
    /// What to write for `ask`, if the files are effective here.
    pub(super) fn settings(&self, ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
        match &self.work {
            Work::Left(_) => Ok(Vec::new()),
            Work::Values(_) if ask.here == Here::Pod => Ok(Vec::new()),
            Work::Values(values) | Work::Both(values) => values(ask),
            Work::Levels(columns) => {
                let level = ask.request.level.ok_or(Reason::NotExpressible)?;
                let settings = columns.iter().filter(|column| column.is_written(ask));
                settings
                    .map(|column| match column.value(level) {
                        Some(value) => Ok(Setting::new(column.file, value)),
                        None => Err(Reason::NotExpressible),
                    })
                    .collect()
            }
        }
    }

    /// Whether the cgroup is of the kernel that this row is for.
    pub(super) fn is_for(&self, probe: &Probe<'_>) -> bool {
        !self.unless.iter().any(|file| probe.has(file))
    }
}

impl Column {
    pub(super) const fn both(file: &'static str, values: [Option<&'static str>; 8]) -> Self {
        Self { file, at: At::Both, values }
    }

    fn value(&self, level: Level) -> Option<&'static str> {
        self.values.get(usize::from(level.number())).copied().flatten()
    }

    fn is_written(&self, ask: &Ask<'_>) -> bool {
        match self.at {
            At::Both => true,
            At::BothIfThere => ask.probe.has(self.file),
            At::PodIfThere => ask.here == Here::Pod && ask.probe.has(self.file),
        }
    }
}

/// A share of the memory limit, or bytes, as bytes in whole pages.
fn page_cache_bytes(ask: &Ask<'_>) -> Result<u64, Reason> {
    use super::request::PageCacheLimit;
    const PAGE_BYTES: u64 = 4096;
    let bytes = match (ask.request.page_cache_limit, ask.memory_limit()) {
        (None, _) => return Err(Reason::NotExpressible),
        (Some(PageCacheLimit::Bytes(bytes)), limit) => bytes.min(limit.unwrap_or(u64::MAX)),
        (Some(PageCacheLimit::Share(share)), Some(limit)) => {
            let bytes = u128::from(limit) * u128::from(share.hundredths()) / 100;
            u64::try_from(bytes).unwrap_or(limit)
        }
        (Some(PageCacheLimit::Share(_)), None) => return Err(Reason::NoMemoryLimit),
    };
    Ok(bytes / PAGE_BYTES * PAGE_BYTES)
}
