//! `ballast qos`, for a person and for a program.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::json::text;
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

use crate::annotations::{assert_files, limited};
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};

#[track_caller]
fn ballast(arguments: &[&str]) -> String {
    run("ballast", arguments).expect_success(&format!("ballast {arguments:?}"))
}

#[track_caller]
fn report(container: &str) -> Value {
    serde_json::from_str(&ballast(&["qos", "show", container, "--json"])).unwrap()
}

/// Value and source of one file.
#[track_caller]
fn setting(report: &Value, file: &str) -> (Value, Value) {
    let settings = report["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["file"] == file).unwrap();
    (setting["value"].clone(), setting["source"].clone())
}

#[test]
fn every_value_is_shown_with_where_it_came_from() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 0.5");
    let annotations = json!({
        "ballast.dev/memory-request": "40Mi",
        "ballast.dev/memory-min.web": "4Mi",
        "ballast.dev/memory-swap-max": "8Mi",
    });
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let mut web = limited(64 * MI, json!({"memory.oom.group": "1"}));
    web["metadata"] = json!({"name": "web", "attempt": 1});
    let web = pod.start(web);
    let shown = report("web");
    assert_eq!(text(&shown, "/id"), web.id);
    assert_eq!((text(&shown, "/policy"), text(&shown, "/qos_class")), ("tiered", "burstable"));
    assert_eq!(shown["request"], json!({"bytes": 40 * MI, "slack_bytes": 0, "source": "annotation"}));
    for (file, value, source) in [
        ("memory.min", json!(4 * MI), json!("annotation")),
        ("memory.low", json!(40 * MI), json!("policy")),
        ("memory.high", json!(52 * MI), json!("policy")),
        ("memory.swap.max", json!(8 * MI), json!("annotation")),
        ("memory.oom.group", json!(1), json!("kubelet")),
    ] {
        // A kernel without swap accounting has no such file.
        if std::path::Path::new(&format!("{}/{file}", web.process().cgroup())).exists() {
            assert_eq!(setting(&shown, file), (value, source), "{file}");
        }
    }
    // The pod protects as much, which Ballast sees to; the levels above protect nothing, which is told.
    assert_eq!(shown["ancestors"][0]["memory_low"], json!(40 * MI));
    assert_eq!(shown["ancestors"][0]["kept"], json!(true));
    assert_eq!(shown["gaps"].as_array().unwrap().len(), 4, "{shown}");
    let table = ballast(&["qos"]);
    let line = table.lines().find(|line| line.contains(" web ")).unwrap();
    for part in ["40Mi annotation", "4Mi annotation", "40Mi policy", "52Mi policy", "NO: see show"] {
        assert!(line.contains(part), "{part} not in\n{table}");
    }
    assert!(table.contains("(sandbox)"), "{table}");
    let told = ballast(&["qos", "show", &web.id]);
    assert!(told.contains("not protected: memory.low of /sys/fs/cgroup/kubepods is 0"), "{told}");
}

#[test]
fn what_kubelet_alone_decided_is_shown_as_its_own() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let container = pod.start(limited(64 * MI, json!({"memory.low": "4096"})));
    let shown = report(&container.id);
    assert_eq!(shown["policy"], Value::Null);
    assert_eq!(setting(&shown, "memory.low"), (json!(4096), json!("kubelet")));
    assert_eq!(setting(&shown, "memory.high"), (json!("max"), Value::Null));
}

#[test]
fn a_reset_puts_neutral_values_back_on_every_level() {
    let mut node = Node::take();
    let configuration =
        "[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 0.5\nprotect_ancestors = 'node'";
    let kubepods = Kubepods::make(configuration);
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-request": "40Mi"}));
    let container = pod.start(limited(64 * MI, json!({"memory.min": "4096"})));
    assert_eq!(kubepods.bytes("memory.low"), 40 * MI);
    let reset: Value = serde_json::from_str(&ballast(&["qos", "reset", "--all", "--json"])).unwrap();
    let files = &reset.as_array().unwrap().iter().find(|one| one["id"] == container.id).unwrap()["files"];
    assert_eq!(files, &json!(["memory.low", "memory.high"]));
    assert_files(
        &container,
        &[("memory.low", "0"), ("memory.high", "max"), ("memory.max", "67108864"), ("memory.min", "4096")],
    );
    for level in ["memory.low", "burstable/memory.low"] {
        assert_eq!(kubepods.bytes(level), 0, "{level}");
    }
    // Again is nothing new.
    let again: Value = serde_json::from_str(&ballast(&["qos", "reset", &container.id, "--json"])).unwrap();
    assert_eq!(again[0]["files"], json!([]));
    // An update decides anew.
    crictl(&["update", "--memory", &(128 * MI).to_string(), &container.id]);
    let shown = report(&container.id);
    assert_eq!(setting(&shown, "memory.low"), (json!(40 * MI), json!("policy")));
    assert_eq!(setting(&shown, "memory.high"), (json!(84 * MI), json!("policy")));
    assert_eq!(kubepods.bytes("memory.low"), 40 * MI);
}

#[test]
fn a_container_that_does_not_exist_is_named() {
    let outcome = run("ballast", &["qos", "show", "no-such-container"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("no-such-container"), "{}", outcome.stderr);
}

#[test]
fn a_level_that_promises_more_than_it_has_is_a_gap() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'");
    kubepods.write("memory.low", &(1024 * MI).to_string());
    kubepods.write("burstable/memory.low", &(60 * MI).to_string());
    let request = json!({"ballast.dev/memory-request": "40Mi"});
    let first = kubepods.pod(&mut node, Class::Burstable, request.clone());
    let first_container = first.start(limited(64 * MI, json!({})));
    assert_eq!(report(&first_container.id)["gaps"], json!([]));
    let second = kubepods.pod(&mut node, Class::Burstable, request);
    second.start(limited(64 * MI, json!({})));
    let expected = json!([{
        "file": "memory.low", "cgroup": "/sys/fs/cgroup/kubepods/burstable", "given": 60 * MI, "asked": 80 * MI,
    }]);
    assert_eq!(report(&first_container.id)["gaps"], expected);
}
