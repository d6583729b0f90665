//! A pod, made and removed with crictl.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::command::{crictl, run};
use super::container::Container;
use super::footprint;
use super::json::{merge, text};
use super::node::DIRECTORY;
use super::process::{self, Process};

/// What kubelet asks for unless a pod wants another.
pub(super) const OWN_PID_NAMESPACE: PidNamespace = PidNamespace { pid: 1 };

/// CRI's `NamespaceOption`, as far as the tests' default goes.
#[derive(Debug, serde::Serialize)]
pub(super) struct PidNamespace {
    /// CRI's `NamespaceMode`: 0 the pod's, 1 the container's own, 2 the node's.
    pid: u8,
}

/// Removed, with its containers, when dropped.
#[derive(Debug)]
pub struct Pod {
    /// CRI's identity of its sandbox.
    pub id: String,
    /// Its cgroup's directory, which kubelet would own.
    pub cgroup: PathBuf,
    /// Holds configurations and logs.
    pub directory: PathBuf,
}

impl Pod {
    pub(super) fn run(handler: &str, differences: Value) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = Path::new(DIRECTORY).join(&name);
        fs::create_dir_all(&directory).unwrap();
        let mut config = json!({
            "metadata": {"name": name, "namespace": "default", "uid": name, "attempt": 1},
            "hostname": "a-pod",
            "log_directory": directory,
            "linux": {
                "cgroup_parent": format!("/{name}"),
                "security_context": {"namespace_options": OWN_PID_NAMESPACE},
            },
        });
        merge(&mut config, differences);
        let parent = text(&config, "/linux/cgroup_parent");
        let parent = if parent.starts_with('/') { parent.to_owned() } else { format!("/{name}") };
        let cgroup = PathBuf::from(format!("/sys/fs/cgroup{parent}"));
        let path = directory.join("pod.json");
        fs::write(&path, config.to_string()).unwrap();
        let outcome = run("crictl", &["runp", "--runtime", handler, path.to_str().unwrap()]);
        let pod = Self { id: outcome.stdout.trim().to_owned(), cgroup, directory };
        if outcome.code == Some(0) { Ok(pod) } else { Err(outcome.stderr) }
    }

    /// The configuration's file.
    pub fn config(&self) -> String {
        self.directory.join("pod.json").display().to_string()
    }

    /// A running container.
    #[track_caller]
    pub fn start(&self, differences: Value) -> Container {
        let container = self.create(differences);
        crictl(&["start", &container.id]);
        container
    }

    /// A container that is created and not started.
    #[track_caller]
    pub fn create(&self, differences: Value) -> Container {
        self.try_create(differences).unwrap_or_else(|error| panic!("create: {error}"))
    }

    /// A created container, or what crictl said.
    pub fn try_create(&self, differences: Value) -> Result<Container, String> {
        Container::create(self, differences)
    }

    /// What `create` or `start`, whichever refused it, said about a container that cannot run.
    #[track_caller]
    pub fn refusal(&self, differences: Value) -> String {
        match self.try_create(differences) {
            Err(said) => said,
            Ok(container) => {
                let outcome = run("crictl", &["start", &container.id]);
                assert_ne!(outcome.code, Some(0), "the container started");
                crictl(&["rm", &container.id]);
                outcome.stderr
            }
        }
    }

    /// What CRI says about the pod.
    pub fn inspect(&self) -> Value {
        serde_json::from_str(&crictl(&["inspectp", &self.id])).unwrap()
    }

    /// The sandbox's first process.
    #[track_caller]
    pub fn process(&self) -> Process {
        let inspected = self.inspect();
        let pid = super::json::number(&inspected, "/info/pid");
        Process::open(u32::try_from(pid).unwrap()).expect("the sandbox's process is gone")
    }

    /// Whether CRI calls the pod ready.
    pub fn is_ready(&self) -> bool {
        text(&self.inspect(), "/status/state") == "SANDBOX_READY"
    }

    /// The processes of the pod's shims that are not another such process's child.
    pub fn shims(&self) -> Vec<u32> {
        let family: Vec<process::Entry> =
            process::table().into_iter().filter(|entry| self.names_pod(entry)).collect();
        let has_parent = |entry: &process::Entry| family.iter().any(|other| other.pid == entry.parent);
        family.iter().filter(|entry| !has_parent(entry)).map(|entry| entry.pid).collect()
    }

    fn names_pod(&self, entry: &process::Entry) -> bool {
        let arguments = fs::read(format!("/proc/{}/cmdline", entry.pid)).unwrap_or_default();
        entry.name.starts_with("containerd-shim") && String::from_utf8_lossy(&arguments).contains(&self.id)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            let outcome = run("crictl", &["rmp", "--force", &self.id]);
            let gone = outcome.code == Some(0) || outcome.stderr.contains("not found");
            assert!(gone || std::thread::panicking(), "rmp: {}", outcome.stderr);
        }
        // What kubelet does after the pod: containers' cgroups that are left make it fail.
        footprint::remove_empty_cgroup(&self.cgroup);
        fs::remove_dir_all(&self.directory).unwrap();
    }
}
