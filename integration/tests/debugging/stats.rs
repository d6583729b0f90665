//! `crictl stats` and `statsp` beside the files that they come from, in a pod that stands still.

use std::fs;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::SCRATCH;
use ballast_integration::testbed::json::number;
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

/// The number after `key` in a flat keyed file of a cgroup.
#[track_caller]
fn field(cgroup: &str, file: &str, key: &str) -> u64 {
    let content = fs::read_to_string(format!("{cgroup}/{file}")).unwrap();
    let value = content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {key} in {content}"))
}

#[track_caller]
fn value(cgroup: &str, file: &str) -> u64 {
    fs::read_to_string(format!("{cgroup}/{file}")).unwrap().trim().parse().unwrap()
}

fn task(verb: &str, id: &str) {
    run("ctr", &["-n", "k8s.io", "task", verb, id]).expect_success(verb);
}

#[test]
fn the_numbers_are_those_of_the_cgroup() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["memhog", "33554432"]}));
    container.wait_for_log("holding");
    let cgroup = container.process().cgroup();
    task("pause", &container.id);
    // Kernel threads may still move pages between lists, so the file is read on both sides of the question.
    let working_set = || value(&cgroup, "memory.current") - field(&cgroup, "memory.stat", "inactive_file");
    let processor_time = || field(&cgroup, "cpu.stat", "usage_usec") * 1000;
    let before = (working_set(), processor_time());
    let stats: Value =
        serde_json::from_str(&crictl(&["stats", "--output", "json", "--id", &container.id])).unwrap();
    let after = (working_set(), processor_time());
    let shown = (
        number(&stats, "/stats/0/memory/workingSetBytes/value"),
        number(&stats, "/stats/0/cpu/usageCoreNanoSeconds/value"),
    );
    assert!(
        (before.0.min(after.0)..=before.0.max(after.0)).contains(&shown.0),
        "{before:?} {shown:?} {after:?}"
    );
    assert!((before.1..=after.1).contains(&shown.1), "{before:?} {shown:?} {after:?}");
    assert!(shown.0 > 32 << 20);
    assert_eq!(number(&stats, "/stats/0/memory/usageBytes/value"), value(&cgroup, "memory.current"));
    assert_eq!(number(&stats, "/stats/0/memory/rssBytes/value"), field(&cgroup, "memory.stat", "anon"));
    let of_pod: Value =
        serde_json::from_str(&crictl(&["statsp", "--output", "json", "--id", &pod.id])).unwrap();
    let pod_cgroup = pod.cgroup.display().to_string();
    let linux = &of_pod["stats"][0]["linux"];
    // containerd counts the containers' processes without the sandbox's.
    assert_eq!(number(linux, "/process/processCount/value"), value(&cgroup, "pids.current"), "{linux}");
    let pod_working_set =
        value(&pod_cgroup, "memory.current") - field(&pod_cgroup, "memory.stat", "inactive_file");
    let shown = number(linux, "/memory/workingSetBytes/value");
    assert!(shown.abs_diff(pod_working_set) <= 256 << 10, "{shown} beside {pod_working_set}");
    assert_eq!(text_of_container(linux), container.id);
    task("resume", &container.id);
}

fn text_of_container(linux: &Value) -> String {
    ballast_integration::testbed::json::text(linux, "/containers/0/attributes/id").to_owned()
}

#[test]
fn processor_time_grows_with_what_is_used() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let usage = || {
        let output = crictl(&["stats", "--output", "json", "--id", &container.id]);
        number(&serde_json::from_str(&output).unwrap(), "/stats/0/cpu/usageCoreNanoSeconds/value")
    };
    let cgroup = container.process().cgroup();
    let before = usage();
    container.exec(&["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
    let used = field(&cgroup, "cpu.stat", "usage_usec") * 1000;
    let after = usage();
    assert!(before < used && used <= after, "{before} {used} {after}");
}
