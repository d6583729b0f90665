//! Who gets a view, and of which files.

use super::ViewFile;
use super::figures::Rounding;

/// What the node's configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewPolicy {
    /// Who gets a view without asking.
    pub containers: Containers,
    /// What is shown to those who do not name files.
    pub files: Selection,
    /// How a fraction of a CPU is shown.
    pub rounding: Rounding,
    /// Whether `sysinfo(2)` tells those of it who have a view.
    pub sysinfo: bool,
    /// How those of it who have a view learn of their quota.
    pub cpu_view: CpuView,
}

/// How a container learns how many CPUs its quota is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CpuView {
    /// By the files of its view.
    #[default]
    Files,
    /// And by the kernel: it may run on so many CPUs only.
    Cpuset,
}

/// Containers that get a view without asking. Privileged ones and those that see the host's processes have to ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Containers {
    /// Nobody.
    None,
    /// Those whose memory or CPUs are limited, themselves or with their pod.
    #[default]
    Limited,
    /// Everybody.
    All,
}

/// Some of the files of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// By position in [`ViewFile::ALL`].
    files: u32,
    /// `/proc/pressure/*`, which are the kernel's own files of the container's cgroup.
    pub pressure: bool,
}

/// A name that is of no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("names no file of a view: there are {}", Selection::NAMES.join(", "))]
pub struct UnknownFile;

impl Default for Selection {
    fn default() -> Self {
        Self::ALL
    }
}

impl Selection {
    /// Everything.
    pub const ALL: Self = Self { files: (1 << ViewFile::ALL.len()) - 1, pressure: true };

    /// The names that a selection is written with.
    pub const NAMES: [&str; 11] = [
        "cpu",
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "pressure",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
        "vmstat",
    ];

    /// Reads names, separated by commas; `cpu` stands for the lists below `/sys/devices/system/cpu`.
    ///
    /// # Errors
    /// When one of them is not known, or there is none.
    pub fn parse(list: &str) -> Result<Self, UnknownFile> {
        list.split(',').map(str::trim).try_fold(Self { files: 0, pressure: false }, Self::with)
    }

    fn with(self, name: &str) -> Result<Self, UnknownFile> {
        if !Self::NAMES.contains(&name) {
            return Err(UnknownFile);
        }
        let named = |file: &ViewFile| match name {
            "cpu" => file.path().to_bytes().starts_with(b"/sys/"),
            name => file.name() == name,
        };
        let files =
            ViewFile::ALL.iter().filter(|file| named(file)).fold(self.files, |bits, file| bits | bit(*file));
        Ok(Self { files, pressure: self.pressure || name == "pressure" })
    }

    /// Whether a file is among them.
    #[must_use]
    pub fn contains(self, file: ViewFile) -> bool {
        self.files & bit(file) != 0
    }

    /// Leaves a file out.
    #[must_use]
    pub fn without(self, file: ViewFile) -> Self {
        Self { files: self.files & !bit(file), ..self }
    }

    /// The files but for the pressure.
    pub fn files(self) -> impl Iterator<Item = ViewFile> {
        ViewFile::ALL.into_iter().filter(move |file| self.contains(*file))
    }
}

fn bit(file: ViewFile) -> u32 {
    ViewFile::ALL.iter().position(|known| *known == file).map_or(0, |position| 1 << position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_selects_something_else() {
        let mut union = Selection { files: 0, pressure: false };
        for name in Selection::NAMES {
            let one = Selection::parse(name).unwrap();
            assert!(one.files != 0 || one.pressure, "{name}");
            assert_eq!(union.files & one.files, 0, "{name}");
            union = Selection { files: union.files | one.files, pressure: union.pressure || one.pressure };
        }
        assert_eq!(union, Selection::default(), "together they are everything");
    }

    #[test]
    fn lists_are_read_and_unknown_names_refused() {
        let two = Selection::parse("meminfo, cpu").unwrap();
        assert!(two.contains(ViewFile::MemInfo) && two.contains(ViewFile::CpusOnline));
        assert!(!two.contains(ViewFile::CpuInfo) && !two.pressure);
        assert_eq!(two.without(ViewFile::MemInfo).files().count(), 4);
        for list in ["", "meminfo,", "version", "online", "on"] {
            assert_eq!(Selection::parse(list), Err(UnknownFile), "{list:?}");
        }
    }
}
