//! A node on this machine's own kernel: it works and leaves the machine as it was. Runs on the test node, whose kernel is
//! the machine's here.
#![allow(clippy::unwrap_used, reason = "the lint's exception for tests knows only functions marked as such")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ballast_integration::images::RegistryDirectory;
use ballast_integration::node::{Node, Place, host};
use ballast_integration::setup::layout::Layout;
use ballast_integration::setup::{Engine, Tree};
use ballast_integration::tools::{ContainerdLine, ToolPaths};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const MEMORY: u64 = 512 << 20;

/// The machine, for one test at a time: a place for nodes' logs, and what must be the same afterwards.
struct Machine {
    layout: Layout,
    logs: PathBuf,
    before: BTreeSet<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Machine {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = Layout::discover().unwrap();
        // The workspace is read-only here.
        let logs = layout.node().join("log");
        mount("tmpfs", &logs, "tmpfs", MountFlags::empty(), c"mode=755").unwrap();
        Self { layout, logs, before: footprint(), _turn: turn }
    }

    fn boot(&self, engine: Option<&Engine>) -> Node {
        let tree =
            Tree { debian: newest(self.layout.node(), "tree-"), files: newest(self.layout.node(), "files-") };
        Node::start(&self.layout, &Place::Host(tree), engine, MEMORY).unwrap()
    }

    #[track_caller]
    fn assert_restored(&self) {
        assert_eq!(footprint(), self.before);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        unmount(&self.logs, UnmountFlags::DETACH).unwrap();
    }
}

/// Processes, cgroups, mounts, network devices, temporary files.
fn footprint() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for process in names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        // Those of the kernel come and go.
        if fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            found.insert(format!("process {process}"));
        }
    }
    for (kind, directory) in [("cgroup", "/sys/fs/cgroup"), ("device", "/sys/class/net"), ("file", "/tmp")] {
        found.extend(names(directory).into_iter().map(|name| format!("{kind} {name}")));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().map(|line| format!("mount {line}")));
    found.insert(fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap());
    found
}

fn names(directory: &str) -> Vec<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// The entry of `directory` that was used last, of those whose names start with `prefix`.
fn newest(directory: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap())
        .unwrap()
        .path()
}

#[test]
fn a_machine_with_controllers_can_be_a_node() {
    let machine = Machine::take();
    host::check().unwrap();
    machine.assert_restored();
}

#[test]
fn the_node_has_its_own_files_network_processes_and_controllers() {
    let machine = Machine::take();
    let node = machine.boot(None);
    let run = |script: &str| node.command(["sh", "-c", script]).run().unwrap().trim().to_owned();
    assert_eq!(run("cat /proc/1/comm; ls /sys/class/net"), "node-agent\nlo");
    assert_eq!(run("cat /proc/self/cgroup"), "0::/init");
    let controllers = run("cat /sys/fs/cgroup/cgroup.subtree_control");
    for name in ["cpu", "memory", "pids"] {
        assert!(controllers.split(' ').any(|found| found == name), "{controllers}");
    }
    let marker = "/etc/written-on-the-inner-node";
    run(&format!("echo here > {marker}; hostname inner; ip link add type dummy; test ! -e /machine"));
    assert!(!Path::new(marker).exists());
    let refused =
        node.command(["touch".to_owned(), machine.layout.workspace().join("file").display().to_string()]);
    let refused = refused.output().unwrap();
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), "ballast-node\n");
    node.command(["touch".to_owned(), node.logs().join("written").display().to_string()]).run().unwrap();
    assert!(node.logs().join("written").exists());
    node.shutdown().unwrap();
    machine.assert_restored();
}

#[test]
fn its_containerd_runs_pods_on_ballast_and_on_the_yardsticks() {
    let machine = Machine::take();
    let engine = Engine {
        line: ContainerdLine::V2,
        tools: ToolPaths::below(machine.layout.node()),
        registry: RegistryDirectory::below(machine.layout.node()),
    };
    let node = machine.boot(Some(&engine));
    let pod = r#"{"metadata":{"name":"inner","namespace":"default","uid":"inner"},"linux":{}}"#;
    let run = |script: &str| node.command(["sh", "-c", script]).run().unwrap().trim().to_owned();
    run(&format!("echo '{pod}' > /tmp/pod.json"));
    for handler in ["runc", "crun", "ballast"] {
        let id = run(&format!("crictl runp --runtime {handler} /tmp/pod.json"));
        let status = run(&format!("crictl inspectp {id}"));
        assert!(status.contains("\"ip\": \"10.88."), "{handler}: {status}");
        run(&format!("crictl rmp --force {id}"));
    }
    node.shutdown().unwrap();
    machine.assert_restored();
}

#[test]
fn what_a_killed_node_left_is_removed_by_the_next() {
    let machine = Machine::take();
    // Beyond the largest process id: whoever made these is gone.
    let stale = "ballast-node-4194305-1";
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::create_dir_all(format!("/sys/fs/cgroup/{stale}/node/init")).unwrap();
    fs::write(format!("/sys/fs/cgroup/{stale}/node/init/cgroup.procs"), child.id().to_string()).unwrap();
    fs::create_dir(format!("/tmp/{stale}")).unwrap();
    machine.boot(None).shutdown().unwrap();
    child.wait().unwrap();
    machine.assert_restored();
}

#[test]
fn a_node_that_is_dropped_takes_everything_with_it() {
    let machine = Machine::take();
    let node = machine.boot(None);
    let script = "mkdir -p /sys/fs/cgroup/pods/one; echo 0 > /sys/fs/cgroup/pods/one/cgroup.procs; \
                  mount -t tmpfs tmpfs /mnt; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo started";
    assert_eq!(node.command(["sh", "-c", script]).run().unwrap(), "started\n");
    drop(node);
    machine.assert_restored();
}
