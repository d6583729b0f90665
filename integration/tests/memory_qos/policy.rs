//! What the node's policy derives.

use ballast_integration::testbed::command::crictl;
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

use crate::annotations::{assert_files, limited};
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};

const TIERED: &str = "[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 0.6\nprotect_ancestors = 'node'";

fn request(quantity: &str) -> Value {
    json!({"ballast.dev/memory-request": quantity})
}

#[test]
fn every_class_gets_its_tier_and_every_level_the_sum() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(TIERED);
    let burstable = kubepods.pod(&mut node, Class::Burstable, request("500Mi"));
    let guaranteed = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    let best_effort = kubepods.pod(&mut node, Class::BestEffort, json!({}));
    let web = burstable.start(limited(1000 * MI, json!({})));
    let full = burstable.start(limited(500 * MI, json!({})));
    let database = guaranteed.start(limited(100 * MI, json!({})));
    let batch = best_effort.start(json!({}));
    let low = (500 * MI).to_string();
    assert_files(&web, &[("memory.min", "0"), ("memory.low", &low), ("memory.high", "838860800")]);
    assert_files(&full, &[("memory.low", &low), ("memory.high", "max")]);
    assert_files(&database, &[("memory.min", "104857600"), ("memory.low", "0"), ("memory.high", "max")]);
    let high: u64 = batch.cgroup_file("memory.high").parse().unwrap();
    assert!(high > 1000 * MI && high.is_multiple_of(4096), "0.6 of the node: {high}");
    assert_files(&batch, &[("memory.min", "0"), ("memory.low", "0")]);
    assert_eq!(kubepods.bytes("burstable/memory.low"), 1000 * MI);
    assert_eq!(kubepods.bytes("memory.low"), 1000 * MI);
    assert_eq!(kubepods.bytes("memory.min"), 100 * MI);
    // An update derives anew, on all levels; so does a container's end.
    crictl(&["update", "--memory", &(200 * MI).to_string(), &database.id]);
    assert_files(&database, &[("memory.min", "209715200")]);
    assert_eq!(kubepods.bytes("memory.min"), 200 * MI);
    crictl(&["rm", "--force", &web.id]);
    assert_eq!(kubepods.bytes("burstable/memory.low"), 500 * MI);
    drop((burstable, guaranteed, best_effort));
    for file in ["memory.min", "memory.low", "burstable/memory.low"] {
        assert_eq!(kubepods.bytes(file), 0, "{file}");
    }
}

#[test]
fn a_request_is_estimated_from_kubelets_oom_score() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(TIERED);
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let container = pod.start(json!({"linux": {"resources": {"oom_score_adj": 900}}}));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let capacity = 1024 * meminfo.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    let low: u64 = container.cgroup_file("memory.low").parse().unwrap();
    // What kubelet would have computed the score from, or less by no more than a thousandth of the node.
    assert!(low.abs_diff(capacity / 10) <= 4096, "{low} of {capacity}");
}

#[test]
fn off_leaves_limits_alone() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'off'\nthrottling_factor = 0.6");
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({"ballast.dev/memory-low": "1Mi"}));
    let container = pod.start(limited(100 * MI, json!({"memory.min": "4096"})));
    assert_files(
        &container,
        &[("memory.min", "0"), ("memory.low", "0"), ("memory.high", "max"), ("memory.max", "104857600")],
    );
}

#[test]
fn a_runtime_class_has_a_policy_of_its_own() {
    let mut node = Node::take_for("ballast-tiered");
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'off'");
    let pod = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    let container = pod.start(limited(100 * MI, json!({})));
    assert_files(&container, &[("memory.min", "104857600")]);
    assert_eq!(kubepods.bytes("memory.min"), 100 * MI);
}

#[test]
fn a_configuration_with_a_mistake_refuses_containers_by_the_mistakes_name() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\nthrotling_factor = 0.5");
    let error = kubepods.try_pod(&mut node, Class::Burstable, json!({})).unwrap_err();
    assert!(error.contains("throtling_factor") && error.contains("/etc/ballast/config.toml"), "{error}");
}
