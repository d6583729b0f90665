//! What is left on a pod's cgroup, which kubelet owns, when its containers are gone.

use std::fs;
use std::path::{Path, PathBuf};

use ballast_integration::testbed::command::crictl;
use ballast_integration::testbed::kubepods::Kubepods;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::{Process, ask_until};
use rustix::process::Signal;
use serde_json::json;

/// A pod's cgroup as kubelet makes it, with a weight of its own.
fn made_by_kubelet(name: &str) -> PathBuf {
    let directory = Path::new("/sys/fs/cgroup/kubepods/burstable").join(name);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("cpu.weight"), "79").unwrap();
    directory
}

/// Whether it is as kubelet made it.
fn is_neutral(directory: &Path) -> bool {
    let file = |name: &str| fs::read_to_string(directory.join(name)).unwrap().trim().to_owned();
    let note = rustix::fs::getxattr(directory, "trusted.ballast.priority", &mut [0_u8; 64]);
    file("cpu.idle") == "0" && file("cpu.weight") == "79" && note == Err(rustix::io::Errno::NODATA)
}

#[test]
fn the_last_container_gives_the_pods_cgroup_back() {
    let mut node = Node::take();
    let _kubepods = Kubepods::make("");
    let directory = made_by_kubelet("podended");
    let pod = node.pod(json!({
        "linux": {"cgroup_parent": "/kubepods/burstable/podended"}, "annotations": {"ballast.dev/priority": "7"},
    }));
    pod.start(json!({}));
    assert_eq!(fs::read_to_string(directory.join("cpu.idle")).unwrap(), "1\n");
    crictl(&["rmp", "--force", &pod.id]);
    assert!(is_neutral(&directory));
}

#[test]
fn a_shim_that_is_killed_leaves_nothing_on_the_pods_cgroup() {
    let mut node = Node::take();
    let _kubepods = Kubepods::make("");
    let directory = made_by_kubelet("podkilled");
    let pod = node.pod(json!({
        "linux": {"cgroup_parent": "/kubepods/burstable/podkilled"}, "annotations": {"ballast.dev/priority": "7"},
    }));
    let container = pod.start(json!({}));
    for shim in pod.shims() {
        Process::open(shim).unwrap().signal(Signal::KILL);
    }
    // containerd has Ballast clean up, and tells CRI.
    container.wait();
    ask_until("the sandbox's end at CRI", || (!pod.is_ready()).then_some(()));
    assert!(is_neutral(&directory));
}
