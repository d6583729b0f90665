//! `crictl stats` and `statsp` beside the files that they come from, in a pod that stands still.

use std::fs;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::SCRATCH;
use ballast_integration::testbed::json::number;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
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

/// What the working set is made of, in bytes.
#[derive(PartialEq)]
struct Memory {
    used: u64,
    inactive_file: u64,
}

fn memory(cgroup: &str) -> Memory {
    Memory {
        used: value(cgroup, "memory.current"),
        inactive_file: field(cgroup, "memory.stat", "inactive_file"),
    }
}

fn task(verb: &str, id: &str) {
    run("ctr", &["-n", "k8s.io", "task", verb, id]).expect_success(verb);
}

/// Asks crictl while the files stand still: the kernel moves pages between lists and counts late, also for processes that
/// are frozen. Returns what was in the files and the answer.
#[track_caller]
fn ask_beside<F: PartialEq>(files: impl Fn() -> F, command: &[&str]) -> (F, Value) {
    ask_until("files that stand still", || {
        let before = files();
        let answer = crictl(command);
        (files() == before).then(|| (before, serde_json::from_str(&answer).unwrap()))
    })
}

#[test]
fn the_numbers_are_those_of_the_cgroup() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["memhog", "33554432"]}));
    container.wait_for_log("holding");
    let cgroup = container.process().cgroup();
    task("pause", &container.id);
    let files = || {
        let processor_time = field(&cgroup, "cpu.stat", "usage_usec") * 1000;
        (memory(&cgroup), field(&cgroup, "memory.stat", "anon"), processor_time)
    };
    let ((memory_bytes, anonymous_bytes, processor_time), stats) =
        ask_beside(files, &["stats", "--output", "json", "--id", &container.id]);
    let shown = |name: &str| number(&stats, &format!("/stats/0/{name}/value"));
    assert_eq!(shown("memory/usageBytes"), memory_bytes.used);
    assert_eq!(shown("memory/workingSetBytes"), memory_bytes.used - memory_bytes.inactive_file);
    assert_eq!(shown("memory/rssBytes"), anonymous_bytes);
    assert_eq!(shown("cpu/usageCoreNanoSeconds"), processor_time);
    assert!(anonymous_bytes > 32 << 20);
    let pod_cgroup = pod.cgroup.display().to_string();
    let files = || (memory(&pod_cgroup), value(&cgroup, "pids.current"));
    let ((memory_bytes, processes), of_pod) =
        ask_beside(files, &["statsp", "--output", "json", "--id", &pod.id]);
    let linux = &of_pod["stats"][0]["linux"];
    // containerd counts the containers' processes without the sandbox's.
    assert_eq!(number(linux, "/process/processCount/value"), processes, "{linux}");
    let working_set_bytes = number(linux, "/memory/workingSetBytes/value");
    assert_eq!(working_set_bytes, memory_bytes.used - memory_bytes.inactive_file);
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

#[test]
fn metrics_have_descriptions_and_are_those_of_the_cgroup() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["memhog", "33554432"]}));
    container.wait_for_log("holding");
    let described = run("crictl", &["metricdescs"]);
    if described.stderr.contains("code = Unimplemented") {
        return; // containerd 1.7 has no metrics.
    }
    let described = described.expect_success("metricdescs");
    let cgroup = container.process().cgroup();
    task("pause", &container.id);
    let (bytes, metrics) = ask_beside(|| value(&cgroup, "memory.current"), &["metricsp"]);
    task("resume", &container.id);
    let pods = metrics["podMetrics"].as_array().unwrap();
    let of_pod = pods.iter().find(|metrics| metrics["podSandboxId"] == pod.id.as_str()).unwrap();
    let of_container = &of_pod["containerMetrics"][0];
    assert_eq!(of_container["containerId"], container.id.as_str());
    let of_container = of_container["metrics"].as_array().unwrap();
    let used = of_container.iter().find(|metric| metric["name"] == "container_memory_usage_bytes").unwrap();
    assert_eq!(number(used, "/value/value"), bytes);
    for metric in of_container {
        assert!(described.contains(&format!("\"{}\"", metric["name"].as_str().unwrap())), "{metric}");
    }
}
