//! What pods ask for by annotations, in the files of their cgroups and processes.

use std::fs;

use ballast_integration::testbed::kubepods::{Class, Kubepods};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::Process;
use serde_json::json;

use crate::{assert_files, named, oom_score};

#[test]
fn a_container_without_a_word_is_as_kubelet_made_it() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let container = pod.start(json!({"linux": {"resources": {"cpu_shares": 512, "oom_score_adj": 900}}}));
    assert_files(&container, &[("cpu.idle", "0")]);
    assert_eq!(oom_score(&container), 900);
    let note =
        rustix::fs::getxattr(container.process().cgroup(), "trusted.ballast.priority", &mut [0_u8; 64]);
    assert_eq!(note, Err(rustix::io::Errno::NODATA));
}

#[test]
fn the_lowest_priority_is_idle_with_its_sandbox_and_killed_first_with_its_execs() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/priority": "offline"}));
    let container = pod.start(json!({"linux": {"resources": {"cpu_shares": 512, "oom_score_adj": 900}}}));
    assert_files(&container, &[("cpu.idle", "1")]);
    assert_eq!(oom_score(&container), 1000);
    assert_eq!(container.exec(&["cat", "/proc/self/oom_score_adj"]), "1000");
    let sandbox = pod.process();
    assert_eq!(fs::read_to_string(format!("{}/cpu.idle", sandbox.cgroup())).unwrap(), "1\n");
    // Its end would free nothing, and end the pod.
    assert_eq!(sandbox.read("oom_score_adj").trim(), "-998");
}

#[test]
fn levels_between_have_smaller_weights_and_one_container_can_differ() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let annotations = json!({"ballast.dev/priority": "3", "ballast.dev/priority.web": "online"});
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let plain = pod.start(json!({}));
    let mut web = named("web");
    web["linux"] = json!({"resources": {"oom_score_adj": 500}});
    let web = pod.start(web);
    let batch = pod.start(named("batch"));
    // Halved three times. Both have what nobody chose a weight for.
    let weight =
        |container| ballast_integration::testbed::container::Container::cgroup_file(container, "cpu.weight");
    let (own, of_web): (u64, u64) = (weight(&plain).parse().unwrap(), weight(&web).parse().unwrap());
    assert_eq!(own, (of_web >> 3).max(1), "{of_web}");
    assert_eq!(weight(&batch), own.to_string());
    assert_files(&batch, &[("cpu.idle", "0")]);
    assert_eq!(oom_score(&web), 500);
}

#[test]
fn limits_of_bursts_reach_their_files() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/cpu-burst": "20ms"}));
    let quota = json!({"linux": {"resources": {"cpu_period": 100_000, "cpu_quota": 50_000}}});
    assert_files(&pod.start(quota), &[("cpu.max.burst", "20000")]);
    // Without a quota there is nothing to save up: it is told, and the container runs.
    let unlimited = pod.start(json!({}));
    assert_files(&unlimited, &[("cpu.max.burst", "0")]);
}

#[test]
fn every_mistake_refuses_the_pod_by_name_and_value() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    for (name, value) in [
        ("ballast.dev/priority", "8"),
        ("ballast.dev/priority.web", "high"),
        ("ballast.dev/cpu-burst", "20"),
        ("ballast.dev/disk-limits", "8:0 fast"),
        ("ballast.dev/net-limits", "100M"),
        ("ballast.dev/page-cache-limit", "101%"),
    ] {
        let error = kubepods.try_pod(&mut node, Class::Burstable, json!({name: value})).unwrap_err();
        assert!(error.contains(name) && error.contains(value), "{error}");
    }
    let error = kubepods.try_pod(&mut node, Class::Burstable, json!({"ballast.dev/prio": "1"})).unwrap_err();
    assert!(
        error.contains("ballast.dev/prio") && error.contains("is not an annotation of Ballast"),
        "{error}"
    );
}

#[test]
fn a_process_that_forks_has_its_parents_score() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::BestEffort, json!({"ballast.dev/priority": "4"}));
    let container = pod.start(json!({
        "command": ["sh", "-c", "sleep 1000 & echo child $!; wait"],
        "linux": {"resources": {"oom_score_adj": 300}},
    }));
    container.wait_for_log("child");
    let pids = fs::read_to_string(format!("{}/cgroup.procs", container.process().cgroup())).unwrap();
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        assert_eq!(Process::open(pid).unwrap().read("oom_score_adj").trim(), "700");
    }
}
