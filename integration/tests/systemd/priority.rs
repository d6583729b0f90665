//! Priorities where systemd owns every level: the scope, and the pod's slice.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::systemd::{Slice, systemctl};
use serde_json::json;

#[test]
fn a_scope_keeps_its_priority_over_a_reload_and_gives_it_back() {
    let mut node = Node::take();
    let names = ["kubepods.slice", "kubepods-burstable.slice", "kubepods-burstable-podprio.slice"];
    let slices = names.map(|name| Slice::start(name.to_owned()));
    let pod = node.pod(json!({
        "linux": {"cgroup_parent": slices[2].cgroup_parent()}, "annotations": {"ballast.dev/priority": "2"},
    }));
    let container = pod.start(json!({"linux": {"resources": {"cpu_shares": 1024, "oom_score_adj": 900}}}));
    let weight = container.cgroup_file("cpu.weight");
    systemctl(&["daemon-reload"]);
    assert_eq!(container.cgroup_file("cpu.weight"), weight);
    let say = |level: &str| run("ballast", &["priority", &pod.id, level]).expect_success("ballast priority");
    say("offline");
    assert_eq!(container.cgroup_file("cpu.idle"), "1");
    systemctl(&["daemon-reload"]);
    assert_eq!(container.cgroup_file("cpu.idle"), "1");
    assert_eq!(container.process().read("oom_score_adj").trim(), "1000");
    say("reset");
    assert_eq!(
        (container.cgroup_file("cpu.idle"), container.cgroup_file("cpu.weight")),
        ("0".to_owned(), weight)
    );
    say("online");
    let full: u64 = container.cgroup_file("cpu.weight").parse().unwrap();
    say("reset");
    assert_eq!(container.cgroup_file("cpu.weight"), (full >> 2).max(1).to_string());
    crictl(&["rm", "--force", &container.id]);
    drop((pod, slices));
}
