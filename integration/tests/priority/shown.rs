//! What `ballast check` and `ballast qos` show of priorities.

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

use crate::named;

#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&run("ballast", arguments).expect_success(&format!("ballast {arguments:?}")))
        .unwrap()
}

#[test]
fn a_check_tells_what_the_kernel_has_and_what_is_done_for_each_knob() {
    let _node = Node::take();
    let _kubepods = Kubepods::make("");
    let checked = json_of(&["check", "--json"]);
    for feature in checked["features"].as_array().unwrap() {
        assert!(feature["present"] == json!(true) || feature["needed"] == json!(false), "{feature}");
    }
    assert_eq!(checked["configuration"]["error"], Value::Null);
    let priorities = &checked["priorities"];
    assert_eq!(priorities["cgroup"], "/sys/fs/cgroup/kubepods");
    let treatment = |knob: &str| {
        let treatments = priorities["treatments"].as_array().unwrap();
        treatments.iter().find(|one| one["knob"] == knob).unwrap().clone()
    };
    assert_eq!(treatment("cpu")["backend"], "mainline");
    assert_eq!(treatment("memory")["mechanisms"], json!(["memory-qos", "oom-score-adj"]));
    let backends: Vec<&str> = priorities["backends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["backend"].as_str().unwrap())
        .collect();
    assert_eq!(backends, ["tencentos", "opencloudos", "anolis", "openeuler", "mainline"]);
    let table = run("ballast", &["check"]).expect_success("ballast check");
    for part in ["KERNEL FEATURE", "PRIORITIES", "mainline's files", "cgroup.priority", "no cgroup.priority"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
}

#[test]
fn a_configuration_that_refuses_pods_is_a_failed_check() {
    let _node = Node::take();
    let _kubepods = Kubepods::make("[priority]\nbest_effort = 'low'");
    let outcome = run("ballast", &["check"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("WRONG") && outcome.stderr.contains("best_effort"), "{outcome:?}");
}

#[test]
fn a_container_is_shown_with_what_was_written_and_what_could_not_be() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let annotations = json!({"ballast.dev/priority": "offline", "ballast.dev/cpu-burst.web": "1ms"});
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let mut web = named("web");
    web["linux"] = json!({"resources": {"memory_limit_in_bytes": 64 * MI}});
    let web = pod.start(web);
    let shown = json_of(&["qos", "show", &web.id, "--json"]);
    let priority = &shown["priority"];
    assert_eq!((&priority["request"]["level"], &priority["pod-level"]), (&json!(7), &json!(7)));
    let entry = |knob: &str| {
        let entries = priority["report"]["entries"].as_array().unwrap();
        entries.iter().find(|one| one["knob"] == knob).unwrap().clone()
    };
    assert_eq!(entry("cpu")["outcome"]["backend"], "mainline");
    // There is no quota that it could be on top of.
    assert_eq!(entry("cpu-burst")["outcome"]["outcome"], "unset");
    // Whoever runs on what is left goes as a whole.
    assert_eq!(web.cgroup_file("memory.oom.group"), "1");
    let files = priority["files"].as_array().unwrap();
    assert!(files.iter().any(|file| file["path"].as_str().unwrap().contains(&web.id)), "{files:?}");
    let table = run("ballast", &["qos"]).expect_success("ballast qos");
    assert!(table.contains("NOT SET: see show"), "{table}");
    let told = run("ballast", &["qos", "show", &web.id]).expect_success("ballast qos show");
    for part in ["cpu 7", "cpu.idle", "cpu-burst 1000us", "not set", "CHANGED FILE"] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}
