//! Everything that a pod's cgroups hold, to be compared: what a priority did must be gone when the priority is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ballast_integration::testbed::pod::Pod;
use rustix::fs::{getxattr, listxattr};

/// Every file that can be written to, and every extended attribute, of the pod's cgroup and those below, by path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, String>);

/// What the kernel only counts, and changes by itself.
const COUNTERS: [&str; 4] = ["memory.peak", "memory.swap.peak", "pids.peak", "cgroup.procs"];

impl Tree {
    pub(crate) fn of(pod: &Pod) -> Self {
        let mut tree = Self(BTreeMap::new());
        tree.add(&pod.cgroup);
        assert!(tree.0.keys().any(|path| path.ends_with("cpu.weight")), "{tree:?}");
        tree
    }

    fn add(&mut self, directory: &Path) {
        for name in attributes(directory) {
            let mut value = vec![0; 8192];
            let length = getxattr(directory, &name, &mut value).unwrap();
            value.truncate(length);
            let path = format!("{} {name}", directory.display());
            self.0.insert(path, String::from_utf8_lossy(&value).into_owned());
        }
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                self.add(&path);
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let writable = !entry.metadata().unwrap().permissions().readonly();
            if let (true, false, Ok(content)) =
                (writable, COUNTERS.contains(&&*name), fs::read_to_string(&path))
            {
                self.0.insert(path.display().to_string(), content);
            }
        }
    }

    /// What differs, for a message.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let paths: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differing = paths.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        differing
            .map(|path| format!("{path}: {:?} is now {:?}", self.0.get(path), other.0.get(path)))
            .collect()
    }
}

fn attributes(directory: &Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let length = listxattr(directory, &mut names).unwrap();
    names.truncate(length);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
