//! Who has a view.

use super::{asking, limited, node};
use ballast_integration::testbed::container::Container;
use serde_json::{Value, json};

fn has_view(container: &Container) -> bool {
    container.process().read("mountinfo").contains(" fuse.ballast ")
}

#[test]
fn containers_with_a_limit_have_one_and_others_do_not() {
    let mut node = node();
    let pod = node.pod(json!({}));
    assert!(has_view(&pod.start(limited())));
    assert!(!has_view(&pod.start(json!({}))));
    assert!(!pod.process().read("mountinfo").contains(" fuse.ballast "), "the sandbox needs none");
}

#[test]
fn a_limited_pod_gives_its_containers_one() {
    let mut node = node();
    let pod = node.pod(json!({}));
    std::fs::write(pod.cgroup.join("memory.max"), "100000000").unwrap();
    let container = pod.start(json!({}));
    assert!(has_view(&container));
    let meminfo = container.exec(&["head", "-1", "/proc/meminfo"]);
    assert_eq!(meminfo.split_whitespace().nth(1), Some("97656"), "{meminfo}");
}

#[test]
fn privileged_containers_and_those_that_see_the_nodes_processes_have_to_ask() {
    let mut node = node();
    let privileged = json!({"linux": {"security_context": {"privileged": true}}});
    let of_the_node = json!({"linux": {"security_context": {"namespace_options": {"pid": 2}}}});
    for security in [privileged, of_the_node] {
        for (annotations, expected) in [(json!({}), false), (asking(), true)] {
            let mut pod = security.clone();
            merge(&mut pod, annotations);
            let mut container = limited();
            merge(&mut container, security.clone());
            let pod = node.pod(pod);
            assert_eq!(has_view(&pod.start(container)), expected, "{security}");
        }
    }
}

#[test]
fn annotations_choose_files_and_containers_and_mistakes_are_refused_by_name() {
    let mut node = node();
    let annotations = json!({"annotations": {"ballast.dev/proc-view": "meminfo,uptime"}});
    let pod = node.pod(annotations);
    let container = pod.start(limited());
    let mounts = container.process().read("mountinfo");
    let covered: Vec<&str> = mounts
        .lines()
        .filter(|line| line.contains(" fuse.ballast "))
        .map(|line| line.split(' ').nth(4).unwrap())
        .collect();
    assert_eq!(covered, ["/proc/meminfo", "/proc/uptime"]);
    let off = node.pod(json!({"annotations": {"ballast.dev/proc-view": "off"}}));
    assert!(!has_view(&off.start(limited())));
    let said = node.try_pod(json!({"annotations": {"ballast.dev/proc-view": "mem"}})).unwrap_err();
    assert!(said.contains("ballast.dev/proc-view") && said.contains("meminfo"), "{said}");
}

fn merge(into: &mut Value, differences: Value) {
    ballast_integration::testbed::json::merge(into, differences);
}
