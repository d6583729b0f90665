//! `linux.resources.unified`: files of cgroup v2 by their own names (OCI config-linux, "Unified").

use crate::error::{Error, Result};

/// Files that steer the cgroup itself. Writing them would move or kill processes, or undo what this crate keeps.
const STEERING: [&str; 6] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.kill",
    "cgroup.freeze",
    "cgroup.type",
    "cgroup.subtree_control",
];

/// The order in which files of memory are written. The kernel accepts any, but acts at once: swap goes first, so that there is
/// room for what a lower limit pushes out; then how the kernel kills when even that is not enough; then the protections,
/// so that an old one does not stand against a new limit; the limits last, the gentle one before the hard one.
pub(super) const MEMORY_FILES: [&str; 6] =
    ["memory.swap.max", "memory.oom.group", "memory.min", "memory.low", "memory.high", "memory.max"];

/// One file and the lines to write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnifiedFile {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl UnifiedFile {
    pub(super) fn new(name: &str, value: &str) -> Result<Self> {
        let refused = |reason| Err(Error::invalid(format!("unified[{name:?}]"), value, reason));
        let is_word = |word: &str, extra: &[u8]| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
        };
        if name.contains('/') {
            return refused("is a path, not the name of a file");
        }
        if !name
            .split_once('.')
            .is_some_and(|(controller, file)| is_word(controller, b"_") && is_word(file, b"_.-"))
        {
            return refused("does not have the form controller.file");
        }
        if STEERING.contains(&name) {
            return refused("steers the cgroup and is not a resource");
        }
        if value.lines().all(|line| line.trim().is_empty()) {
            return refused("has no value");
        }
        if value.contains('\0') {
            return refused("has a NUL in its value");
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Where it stands among the files to write, those of [`MEMORY_FILES`] in their order before all others.
    pub(super) fn rank(&self) -> usize {
        MEMORY_FILES.iter().position(|name| *name == self.name).unwrap_or(MEMORY_FILES.len())
    }

    /// What to write, one `write(2)` per line: files with a line per device take one at a time.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.value.lines().map(str::trim).filter(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_value_is_written_on_its_own() {
        let file = UnifiedFile::new("io.max", "8:0 rbps=1\n\n 8:16 wbps=2 \n").unwrap();
        assert_eq!(file.lines().collect::<Vec<_>>(), ["8:0 rbps=1", "8:16 wbps=2"]);
    }

    #[test]
    fn room_is_made_before_memory_is_taken_away() {
        let mut files: Vec<UnifiedFile> =
            ["cpu.max", "memory.max", "memory.swap.max", "memory.high", "memory.min"]
                .map(|name| UnifiedFile::new(name, "1").unwrap())
                .into();
        files.sort_by_key(UnifiedFile::rank);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["memory.swap.max", "memory.min", "memory.high", "memory.max", "cpu.max"]);
    }

    #[test]
    fn what_is_not_a_controllers_file_is_refused() {
        for name in [
            "memory/../x.y",
            "../memory.max",
            "memory",
            ".max",
            "memory.",
            "a b.c",
            "cgroup.procs",
            "cgroup.kill",
        ] {
            let error = UnifiedFile::new(name, "1").unwrap_err();
            assert_eq!(error.kind(), crate::Kind::InvalidArgument, "{name}");
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(UnifiedFile::new("memory.max", " \n").is_err());
    }

    #[test]
    fn files_that_only_some_kernels_have_are_accepted() {
        for name in ["cgroup.max.depth", "hugetlb.2MB.rsvd.max", "memory.use_priority_oom", "io.cost.qos"] {
            UnifiedFile::new(name, "1").unwrap();
        }
    }
}
