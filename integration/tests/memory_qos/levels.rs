//! The cgroups above containers: what others gave them stays, and what they withhold is told.

use std::fs;
use std::path::Path;

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::{Process, ask_until};
use rustix::process::Signal;
use serde_json::json;

use crate::annotations::limited;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};

const TO_THE_NODE: &str = "[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'";

#[test]
fn pods_of_other_runtimes_count_and_are_not_touched() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(TO_THE_NODE);
    let other = Path::new("/sys/fs/cgroup/kubepods/podother");
    fs::create_dir(other).unwrap();
    fs::write(other.join("memory.min"), (70 * MI).to_string()).unwrap();
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    pod.start(limited(30 * MI, json!({})));
    assert_eq!(kubepods.bytes("memory.min"), 100 * MI);
    drop(pod);
    assert_eq!(kubepods.bytes("memory.min"), 70 * MI);
    assert_eq!(kubepods.bytes("podother/memory.min"), 70 * MI);
    fs::remove_dir(other).unwrap();
}

#[test]
fn what_kubelet_gave_a_level_is_kept() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(TO_THE_NODE);
    kubepods.write("memory.min", &(64 * MI).to_string());
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    let small = pod.start(limited(32 * MI, json!({})));
    assert_eq!(kubepods.bytes("memory.min"), 64 * MI);
    let large = pod.start(limited(96 * MI, json!({})));
    assert_eq!(kubepods.bytes("memory.min"), 128 * MI);
    drop((small, large, pod));
    assert_eq!(kubepods.bytes("memory.min"), 64 * MI);
}

#[test]
fn a_killed_shim_leaves_no_share_behind() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(TO_THE_NODE);
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    pod.start(limited(32 * MI, json!({})));
    assert_eq!(kubepods.bytes("memory.min"), 32 * MI);
    for shim in pod.shims() {
        Process::open(shim).unwrap().signal(Signal::KILL);
    }
    ask_until("the share's end", || (kubepods.bytes("memory.min") == 0).then_some(()));
    // What kubelet does: the first attempts can meet a container that containerd still believes in.
    ask_until("the pod's removal", || {
        (run("crictl", &["rmp", "--force", &pod.id]).code == Some(0)).then_some(())
    });
}

#[test]
fn protection_that_a_level_withholds_is_logged() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'");
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    let container = pod.start(limited(32 * MI, json!({})));
    let log = Path::new(&std::env::var("BALLAST_NODE_LOGS").unwrap()).join("containerd.log");
    let lines = ask_until("the notice", || {
        let log = fs::read_to_string(&log).unwrap();
        let lines: Vec<String> =
            log.lines().filter(|line| line.contains(&container.id)).map(str::to_owned).collect();
        lines.iter().any(|line| line.contains("memory.min of /sys/fs/cgroup/kubepods is 0")).then_some(lines)
    });
    assert!(
        lines.iter().all(|line| !line.contains("memory.min of /sys/fs/cgroup/kubepods/pod")),
        "{lines:?}"
    );
}
