//! Pods that compete.

use std::fs;

use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::kubepods::{Class, Kubepods};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::{Value, json};

/// What a pod that asks for nothing has.
pub(crate) fn plain() -> Value {
    json!({})
}

pub(crate) fn online() -> Value {
    json!({"ballast.dev/priority": "online"})
}

pub(crate) fn offline() -> Value {
    json!({"ballast.dev/priority": "offline"})
}

/// A container of the image with nothing but `/probe`.
pub(crate) fn probe(arguments: &[&str]) -> Value {
    json!({"image": {"image": SCRATCH}, "args": arguments, "linux": {"resources": {"cpu_shares": 1024}}})
}

/// A burstable pod with the `cpu.weight` that kubelet would give it.
pub(crate) fn weighed(kubepods: &Kubepods, node: &mut Node, annotations: Value, weight: u64) -> Pod {
    let pod = kubepods.pod(node, Class::Burstable, annotations);
    let idle = fs::read_to_string(pod.cgroup.join("cpu.idle")).unwrap();
    // The kernel refuses a weight while a cgroup is idle.
    if idle.trim() == "0" {
        fs::write(pod.cgroup.join("cpu.weight"), weight.to_string()).unwrap();
    }
    pod
}

/// What all of a pod has used of the CPU, in microseconds.
pub(crate) fn cpu_time(pod: &Pod) -> u64 {
    let content = fs::read_to_string(pod.cgroup.join("cpu.stat")).unwrap();
    content.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap().parse().unwrap()
}

/// Stops everything in a pod, or lets it go on; returns when that is so.
pub(crate) fn freeze(pods: &[Pod], frozen: bool) {
    for pod in pods {
        fs::write(pod.cgroup.join("cgroup.freeze"), if frozen { "1" } else { "0" }).unwrap();
    }
    let line = format!("frozen {}", u8::from(frozen));
    for pod in pods {
        ballast_integration::testbed::process::ask_until("the freezer", || {
            fs::read_to_string(pod.cgroup.join("cgroup.events")).unwrap().contains(&line).then_some(())
        });
    }
}

/// Pods with one container each that uses all the CPU that it gets, stopped.
pub(crate) fn frozen_spinners(
    kubepods: &Kubepods,
    node: &mut Node,
    annotations: &Value,
    count: usize,
) -> Vec<Pod> {
    (0..count)
        .map(|_| {
            let pod = weighed(kubepods, node, annotations.clone(), 39);
            let _spinner: Container = pod.start(probe(&["spin"]));
            freeze(std::slice::from_ref(&pod), true);
            pod
        })
        .collect()
}
