//! The cgroups that kubelet makes, and the node's configuration of Ballast; both are gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::node::Node;
use super::pod::Pod;

/// A mebibyte.
pub const MI: u64 = 1 << 20;

const ROOT: &str = "/sys/fs/cgroup/kubepods";
const CONFIGURATION: &str = "/etc/ballast/config.toml";

/// `kubepods` with its classes. With a memory limit it stands for a node of that size.
#[derive(Debug)]
pub struct Kubepods {
    configured: bool,
}

/// A class of pods, as in the paths of cgroups.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// Directly below `kubepods`.
    Guaranteed,
    /// Below `kubepods/burstable`.
    Burstable,
    /// Below `kubepods/besteffort`.
    BestEffort,
}

impl Class {
    fn directory(self) -> &'static str {
        match self {
            Self::Guaranteed => "/kubepods",
            Self::Burstable => "/kubepods/burstable",
            Self::BestEffort => "/kubepods/besteffort",
        }
    }
}

impl Kubepods {
    /// Makes the cgroups; what is in `configuration` is the node's configuration meanwhile.
    pub fn make(configuration: &str) -> Self {
        for directory in [ROOT.to_owned(), format!("{ROOT}/burstable"), format!("{ROOT}/besteffort")] {
            fs::create_dir_all(&directory).unwrap();
            fs::write(format!("{directory}/cgroup.subtree_control"), "+cpu +memory +pids").unwrap();
        }
        let kubepods = Self { configured: !configuration.is_empty() };
        if kubepods.configured {
            fs::create_dir_all(Path::new(CONFIGURATION).parent().unwrap()).unwrap();
            kubepods.configure(configuration);
        }
        kubepods
    }

    /// Changes the node's configuration, for the containers that are created from now on.
    pub fn configure(&self, configuration: &str) {
        assert!(self.configured, "made without a configuration, which nobody would remove");
        fs::write(CONFIGURATION, configuration).unwrap();
    }

    /// A file below kubepods, `burstable/memory.low` for instance.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let path = format!("{ROOT}/{file}");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    /// The same as a number.
    #[track_caller]
    pub fn bytes(&self, file: &str) -> u64 {
        self.read(file).parse().unwrap()
    }

    /// Writes such a file.
    pub fn write(&self, file: &str, value: &str) {
        fs::write(format!("{ROOT}/{file}"), value).unwrap();
    }

    /// A pod where kubelet would put it.
    #[track_caller]
    pub fn pod(&self, node: &mut Node, class: Class, annotations: Value) -> Pod {
        self.try_pod(node, class, annotations).unwrap_or_else(|error| panic!("runp: {error}"))
    }

    /// A pod where kubelet would put it, or what crictl said.
    pub fn try_pod(&self, node: &mut Node, class: Class, annotations: Value) -> Result<Pod, String> {
        node.try_pod(pod_configuration(class, annotations))
    }
}

/// What tells a pod from the default one: its place, a new one each time, and its annotations.
pub fn pod_configuration(class: Class, annotations: Value) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let parent = format!("{}/pod{}", class.directory(), NEXT.fetch_add(1, Ordering::Relaxed));
    json!({"linux": {"cgroup_parent": parent}, "annotations": annotations})
}

/// Every cgroup of a pod of kubelet's.
pub fn pods() -> Vec<PathBuf> {
    ["", "/burstable", "/besteffort"]
        .iter()
        .flat_map(|class| children(Path::new(&format!("{ROOT}{class}"))))
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("pod"))
        .collect()
}

/// The cgroups right below one.
pub fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

impl Drop for Kubepods {
    fn drop(&mut self) {
        if self.configured {
            fs::remove_file(CONFIGURATION).unwrap();
        }
        // Pods that a failed test left keep theirs, and show in the footprint.
        for directory in [format!("{ROOT}/burstable"), format!("{ROOT}/besteffort"), ROOT.to_owned()] {
            let _in_use = fs::remove_dir(directory);
        }
    }
}
