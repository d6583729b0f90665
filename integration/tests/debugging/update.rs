//! `crictl update` of a running container: in force, visible, or refused with everything as it was.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::json::text;
use ballast_integration::testbed::node::Node;
use serde_json::json;

use crate::is_runc;

const FILES: [&str; 4] = ["cpu.max", "cpu.weight", "memory.max", "pids.max"];

fn limits(container: &Container) -> Vec<String> {
    FILES.iter().map(|file| container.cgroup_file(file)).collect()
}

fn shown(container: &Container) -> [String; 4] {
    let inspected = container.inspect();
    ["cpuQuota", "cpuPeriod", "cpuShares", "memoryLimitInBytes"]
        .map(|name| text(&inspected, &format!("/status/resources/linux/{name}")).to_owned())
}

#[test]
fn an_update_is_in_the_cgroup_and_in_what_inspect_shows() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"linux": {"resources": {"memory_limit_in_bytes": 128 << 20}}}));
    assert_eq!(container.cgroup_file("memory.max"), (128 << 20).to_string());
    let pid = container.process().pid;
    let all =
        ["--memory", "67108864", "--cpu-quota", "20000", "--cpu-period", "50000", "--cpu-share", "1024"];
    crictl(&[&["update"], &all[..], &[container.id.as_str()]].concat());
    let weight = container.cgroup_file("cpu.weight");
    assert_eq!(limits(&container)[..3], ["20000 50000", weight.as_str(), "67108864"]);
    assert_eq!(shown(&container), ["20000", "50000", "1024", "67108864"]);
    // What is not mentioned stays.
    crictl(&["update", "--cpu-share", "2048", &container.id]);
    let heavier = container.cgroup_file("cpu.weight");
    assert!(heavier.parse::<u64>().unwrap() > weight.parse().unwrap(), "{heavier} is not above {weight}");
    assert_eq!(limits(&container)[0], "20000 50000");
    assert_eq!(container.cgroup_file("memory.max"), "67108864");
    assert_eq!(container.process().pid, pid);
}

#[test]
fn what_is_impossible_is_refused_by_name_and_changes_nothing() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    crictl(&[
        "update",
        "--memory",
        "67108864",
        "--cpu-quota",
        "20000",
        "--cpu-period",
        "50000",
        &container.id,
    ]);
    let (before, shown_before) = (limits(&container), shown(&container));
    let no_cpuset = !std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap().contains("cpuset");
    let mut refused = vec![
        (vec!["--cpu-quota", "5"], "cpu.max"),
        (vec!["--cpu-period", "5"], "cpu.max"),
        (vec!["--memory", "-5"], "memory"),
        // The first can be done, the second cannot.
        (vec!["--memory", "33554432", "--cpu-quota", "5"], "cpu.max"),
    ];
    if no_cpuset {
        refused.push((vec!["--cpuset-cpus", "0"], "cpuset.cpus"));
        refused.push((vec!["--cpuset-mems", "0"], "cpuset.mems"));
        refused.push((vec!["--memory", "33554432", "--cpuset-cpus", "0"], "cpuset.cpus"));
    }
    for (options, name) in refused {
        let outcome = run("crictl", &[&["update"], &options[..], &[container.id.as_str()]].concat());
        assert_ne!(outcome.code, Some(0), "{options:?}");
        assert!(outcome.stderr.contains(name), "no {name} for {options:?} in {}", outcome.stderr);
        assert_eq!(shown(&container), shown_before, "{options:?}");
        // runc leaves what it had written before the refusal.
        if !is_runc(&node) || options.len() == 2 {
            assert_eq!(limits(&container), before, "{options:?}");
        }
        if is_runc(&node) {
            crictl(&["update", "--memory", "67108864", &container.id]);
        }
    }
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}
