//! How a container's unit ends, whoever ends it.

use std::thread;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::{Process, ask_until};
use ballast_integration::testbed::systemd::{self, systemctl};
use rustix::process::Signal;
use serde_json::json;

use crate::fixture::{SlicedPod, property, unit_of, with_resources};

/// Waits until systemd has forgotten the unit, which must not be as one that failed.
#[track_caller]
fn assert_gone(id: &str) {
    let unit = unit_of(id);
    ask_until("the unit's end", || {
        assert_ne!(systemd::property(&unit, "ActiveState"), "failed");
        (systemd::property(&unit, "LoadState") == "not-found").then_some(())
    });
}

#[test]
fn a_unit_goes_with_its_container_and_the_slice_stays() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let stopped = sliced.pod.start(json!({}));
    let ended = sliced.pod.start(json!({"command": ["true"]}));
    assert_eq!(ended.exit_code(), 0);
    assert_gone(&ended.id);
    crictl(&["stop", "--timeout", "0", &stopped.id]);
    assert_gone(&stopped.id);
    crictl(&["rm", &stopped.id]);
    crictl(&["rmp", "--force", &sliced.pod.id]);
    assert_gone(&sliced.pod.id);
    assert_eq!(systemd::property(&sliced.slice.name, "ActiveState"), "active", "it is kubelet's");
    assert_eq!(sliced.slice.children(), [""; 0]);
}

#[test]
fn a_container_that_could_not_be_created_or_started_leaves_no_unit() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let refused = [
        json!({"command": ["/no/such/command"]}),
        json!({"working_dir": "/etc/passwd/below"}),
        json!({"mounts": [{"host_path": "/tmp", "container_path": "/etc/passwd/below"}]}),
        json!({"linux": {"resources": {"unified": {"memory.max": "lots"}}}}),
        json!({"linux": {"resources": {"unified": {"no.such.file": "1"}}}}),
    ];
    for differences in refused {
        let said = sliced.pod.refusal(differences.clone());
        ask_until("the unit's end", || (sliced.slice.children().len() == 1).then_some(()));
        assert!(!said.is_empty(), "{differences}");
        assert_eq!(systemctl(&["list-units", "--all", "--plain", "--no-legend", "--state=failed"]), "");
    }
}

#[test]
fn a_killed_shim_leaves_no_unit() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let containers: Vec<Container> = (0..3).map(|_| sliced.pod.start(json!({}))).collect();
    for shim in sliced.pod.shims() {
        Process::open(shim).unwrap().signal(Signal::KILL);
    }
    for container in &containers {
        assert_gone(&container.id);
    }
    assert_gone(&sliced.pod.id);
    for container in &containers {
        assert_ne!(container.exit_code(), 0);
    }
    ask_until("the pod's end at CRI", || (!sliced.pod.is_ready()).then_some(()));
}

#[test]
fn a_container_that_runs_out_of_memory_is_reported_as_oom_killed() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    for unified in [json!({}), json!({"memory.oom.group": "1"})] {
        let resources = json!({"memory_limit_in_bytes": 32 << 20, "unified": unified});
        let hungry = json!({
            "image": {"image": SCRATCH}, "args": ["memhog", "268435456"], "linux": {"resources": resources},
        });
        let container = sliced.pod.start(hungry);
        assert_eq!(container.exit_code(), 137);
        let reason = || text(&container.inspect(), "/status/reason").to_owned();
        ask_until("the reason", || (reason() == "OOMKilled").then_some(()));
        assert_gone(&container.id);
    }
    assert!(sliced.pod.is_ready());
}

#[test]
fn a_container_outlives_the_child_that_ran_out_of_memory() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({
        "command": ["sh", "-c", "tail /dev/zero; echo child ended with $?; sleep 1000"],
        "linux": {"resources": {"memory_limit_in_bytes": 32 << 20}},
    }));
    container.wait_for_log("child ended with 137");
    // Its turn comes after the kernel's news of the kill.
    systemctl(&["daemon-reload"]);
    assert_eq!(property(&container, "OOMPolicy"), "continue");
    assert_eq!(property(&container, "ActiveState"), "active");
    assert_eq!(container.exec(&["echo", "alive"]), "alive");
}

#[test]
fn an_end_that_systemd_makes_is_reported() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
    let polite = sliced.pod.start(json!({"command": ["sh", "-c", script]}));
    polite.wait_for_log("ready");
    systemctl(&["stop", &unit_of(&polite.id)]);
    assert_eq!(polite.exit_code(), 9);
    let killed = sliced.pod.start(json!({}));
    systemctl(&["kill", "--signal=KILL", &unit_of(&killed.id)]);
    assert_eq!(killed.exit_code(), 137);
    for container in [&polite, &killed] {
        assert_gone(&container.id);
        crictl(&["rm", &container.id]);
    }
    assert!(sliced.pod.is_ready());
    let next = sliced.pod.start(json!({}));
    assert_eq!(next.exec(&["echo", "works"]), "works");
}

#[test]
fn a_slice_that_is_stopped_takes_its_pod_with_it() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({}));
    let (process, sandbox) = (container.process(), sliced.pod.process());
    run("systemctl", &["kill", "--signal=KILL", &sliced.slice.name]).expect_success("kill the slice");
    process.wait();
    sandbox.wait();
    assert_eq!(container.exit_code(), 137);
    ask_until("the pod's end at CRI", || (!sliced.pod.is_ready()).then_some(()));
    assert_gone(&container.id);
    assert_gone(&sliced.pod.id);
}

#[test]
fn pods_that_start_and_end_together_do_not_disturb_each_other() {
    let mut node = Node::take();
    let pods = [SlicedPod::run(&mut node, json!({})), SlicedPod::run(&mut node, json!({}))];
    thread::scope(|scope| {
        for sliced in &pods {
            for share in 1..=3 {
                scope.spawn(move || {
                    let resources = json!({"memory_limit_in_bytes": share * (32 << 20)});
                    let container = with_resources(&sliced.pod, &resources);
                    let memory = (share * (32 << 20)).to_string();
                    assert_eq!(property(&container, "MemoryMax"), memory);
                    assert_eq!(container.cgroup_file("memory.max"), memory);
                    assert_eq!(property(&container, "Slice"), sliced.slice.name);
                    crictl(&["stop", "--timeout", "0", &container.id]);
                    assert_eq!(number(&container.inspect(), "/status/exitCode"), 137);
                    crictl(&["rm", &container.id]);
                    assert_gone(&container.id);
                });
            }
        }
    });
}
