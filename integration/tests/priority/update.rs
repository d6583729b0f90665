//! Updates of limits while a priority is in force.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::kubepods::{Class, Kubepods};
use ballast_integration::testbed::node::Node;
use serde_json::json;

use crate::{assert_files, oom_score};

#[test]
fn an_idle_containers_weight_can_be_updated_and_counts_when_it_is_idle_no_more() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/priority": "7"}));
    let container = pod.start(json!({"linux": {"resources": {"cpu_shares": 1024, "oom_score_adj": 900}}}));
    crictl(&["update", "--cpu-share", "2048", "--memory", "134217728", &container.id]);
    assert_files(&container, &[("cpu.idle", "1"), ("memory.max", "134217728")]);
    assert_eq!(oom_score(&container), 1000);
}

#[test]
fn a_lowered_weight_follows_an_update() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(
        &mut node,
        Class::Burstable,
        json!({"ballast.dev/priority": "2", "ballast.dev/priority.online": "0"}),
    );
    let container = pod.start(json!({"linux": {"resources": {"cpu_shares": 1024}}}));
    let reference = pod.start(json!({
        "metadata": {"name": "online", "attempt": 1}, "linux": {"resources": {"cpu_shares": 1024}},
    }));
    for shares in [None, Some("8192"), Some("256")] {
        if let Some(shares) = shares {
            for id in [&container.id, &reference.id] {
                crictl(&["update", "--cpu-share", shares, id]);
            }
        }
        let full: u64 = reference.cgroup_file("cpu.weight").parse().unwrap();
        assert_files(&container, &[("cpu.weight", &(full >> 2).max(1).to_string())]);
    }
}

#[test]
fn an_update_that_is_refused_leaves_the_burst_as_it_was() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/cpu-burst": "20ms"}));
    let container = pod.start(json!({"linux": {"resources": {"cpu_quota": 50_000, "cpu_period": 100_000}}}));
    assert_files(&container, &[("cpu.max", "50000 100000"), ("cpu.max.burst", "20000")]);
    // The quota makes the burst give way, and no machine has that CPU.
    let refused = run("crictl", &["update", "--cpu-quota", "30000", "--cpuset-cpus", "65000", &container.id]);
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert_files(&container, &[("cpu.max", "50000 100000"), ("cpu.max.burst", "20000")]);
}
