//! What some kernels show of containers by themselves, better than anybody outside could.
//!
//! TencentOS isolates `/proc` as a whole (`kernel.stats_isolated`); its files per cgroup are of cgroup v1, where Ballast puts no
//! container. OpenCloudOS has a file system of such files, `cgroupfs`. Tested against a model of their files, not yet on these
//! kernels. Must not know containers.

use super::ViewFile;
use std::path::{Path, PathBuf};

/// The file system's type.
const CGROUPFS: &str = "cgroupfs";

/// The files that are taken from there. Not those that tell of times: the container has a time namespace.
const TAKEN: [ViewFile; 4] = [ViewFile::CpuInfo, ViewFile::LoadAverage, ViewFile::MemInfo, ViewFile::VmStat];

/// What this kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NativeViews {
    /// Each container sees itself in `/proc`, and there is nothing to do.
    pub(crate) isolates_all: bool,
    /// Where the node has mounted files that show their reader's container.
    files: Option<PathBuf>,
}

impl NativeViews {
    /// Looks below a root directory: `/`, or a model of it.
    pub(crate) fn probe(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let isolates_all = read("proc/sys/kernel/stats_isolated").trim_end() == "1";
        // One super block at a time: it is taken where the node's administrator mounted it, and never mounted here.
        let knows = read("proc/filesystems").lines().any(|line| line.rsplit('\t').next() == Some(CGROUPFS));
        let mounts = if knows { read("proc/self/mounts") } else { String::new() };
        let mounted = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            (words.next()? == CGROUPFS).then(|| PathBuf::from(place))
        });
        Self { isolates_all, files: mounted }
    }

    /// The kernel's file for one of the view's, if it has one.
    pub(crate) fn file(&self, file: ViewFile) -> Option<PathBuf> {
        let directory = self.files.as_ref().filter(|_| TAKEN.contains(&file))?;
        let path = directory.join("proc").join(file.name());
        path.is_file().then_some(path)
    }

    /// Whether any file can come from there.
    pub(crate) fn has_files(&self) -> bool {
        self.files.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory with these files.
    fn model(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_kernel_without_any_of_it_has_none() {
        assert_eq!(NativeViews::probe(model(&[]).path()), NativeViews::default());
        let ordinary = model(&[
            ("proc/filesystems", "nodev\tproc\nnodev\tcgroup2\n\text4\n"),
            ("proc/self/mounts", "none /mnt cgroupfs rw 0 0\n"),
            ("proc/sys/kernel/stats_isolated", "0\n"),
        ]);
        assert_eq!(NativeViews::probe(ordinary.path()), NativeViews::default());
    }

    #[test]
    fn a_kernel_that_isolates_everything_is_known_by_its_setting() {
        let isolating = model(&[("proc/sys/kernel/stats_isolated", "1\n")]);
        assert!(NativeViews::probe(isolating.path()).isolates_all);
    }

    #[test]
    fn files_are_taken_from_where_they_are_mounted_and_only_those_that_are_there() {
        let files = model(&[("proc/meminfo", ""), ("proc/uptime", ""), ("proc/cpuinfo", "")]);
        let mounts = format!("proc /proc proc rw 0 0\nnone {} cgroupfs rw 0 0\n", files.path().display());
        let root = model(&[("proc/filesystems", "nodev\tcgroupfs\n"), ("proc/self/mounts", &mounts)]);
        let native = NativeViews::probe(root.path());
        assert!(native.has_files() && !native.isolates_all);
        assert_eq!(native.file(ViewFile::MemInfo), Some(files.path().join("proc/meminfo")));
        assert_eq!(native.file(ViewFile::VmStat), None, "it is not there");
        assert_eq!(native.file(ViewFile::Uptime), None, "it has another zero than the time namespace");
        let known = model(&[("proc/filesystems", "nodev\tcgroupfs\n"), ("proc/self/mounts", "")]);
        assert!(!NativeViews::probe(known.path()).has_files(), "nobody has mounted it");
    }
}
