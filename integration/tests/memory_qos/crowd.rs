//! Many pods at once, some of which lose their shim: in the end every level protects what its children do.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::{Process, ask_until};
use rustix::process::Signal;
use serde_json::json;

use crate::annotations::limited;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI, children, pod_configuration, pods};

const PODS: usize = 50;
const AT_ONCE: usize = 10;

/// The levels whose values are not the sums of their children's.
fn out_of_line() -> Vec<String> {
    let mut levels: Vec<PathBuf> = ["", "/burstable", "/besteffort"]
        .map(|class| PathBuf::from(format!("/sys/fs/cgroup/kubepods{class}")))
        .into();
    levels.extend(pods());
    let protected = |directory: &Path, file: &str| -> u64 {
        // A pod that is being removed takes its file with it.
        let content = std::fs::read_to_string(directory.join(file)).unwrap_or_else(|_| "0".to_owned());
        content.trim().parse().unwrap()
    };
    let mut found = Vec::new();
    for level in levels {
        for file in ["memory.min", "memory.low"] {
            let own = protected(&level, file);
            let sum: u64 = children(&level).iter().map(|child| protected(child, file)).sum();
            if own != sum {
                found.push(format!("{} of {}: {own}, children {sum}", file, level.display()));
            }
        }
    }
    found
}

/// Does something with every pod, several at a time.
fn for_each(pods: Vec<Pod>, act: impl Fn(usize, Pod) + Sync) {
    let queue = Mutex::new(pods.into_iter().enumerate().collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((index, pod)) = { queue.lock().unwrap().pop() } {
                    act(index, pod);
                }
            });
        }
    });
}

fn remove_until_gone(pod: &Pod) {
    ask_until("the pod's removal", || {
        let outcome = run("crictl", &["rmp", "--force", &pod.id]);
        (outcome.code == Some(0) || outcome.stderr.contains("not found")).then_some(())
    });
}

#[test]
fn fifty_pods_at_once_leave_every_level_in_line() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'");
    let configurations = (0..PODS).map(|index| {
        let class = if index % 2 == 0 { Class::Guaranteed } else { Class::Burstable };
        pod_configuration(class, json!({"ballast.dev/memory-request": "3Mi"}))
    });
    let all = node.crowd(configurations.collect(), AT_ONCE);
    let survivors = Mutex::new(Vec::new());
    // Some start a container while others go, with or without their shim.
    for_each(all, |index, pod| {
        pod.start(limited(8 * MI, json!({})));
        match index % 5 {
            0 => {
                for shim in pod.shims() {
                    Process::open(shim).unwrap().signal(Signal::KILL);
                }
                remove_until_gone(&pod);
            }
            1 | 2 => drop(pod),
            _ => survivors.lock().unwrap().push(pod),
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert_eq!(survivors.len(), PODS * 2 / 5);
    ask_until("the levels to be in line", || out_of_line().is_empty().then_some(()));
    assert!(kubepods.bytes("memory.low") > 0 && kubepods.bytes("memory.min") > 0);
    // Only now is the sum that of the containers, and not just that of the files below.
    let containers: u64 = pods().iter().map(|pod| u64::try_from(children(pod).len()).unwrap() - 1).sum();
    assert_eq!(containers, u64::try_from(survivors.len()).unwrap(), "one beside each sandbox");
    for_each(survivors, |_, pod| drop(pod));
    for file in ["memory.min", "memory.low", "burstable/memory.low"] {
        assert_eq!(kubepods.bytes(file), 0, "{file}");
    }
}
