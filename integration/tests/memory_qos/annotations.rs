//! What kubelet sends and what pods ask for, in the files of their containers.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};

/// A container with a memory limit, and `unified` as kubelet fills it.
pub(crate) fn limited(limit: u64, unified: Value) -> Value {
    json!({"linux": {"resources": {"memory_limit_in_bytes": limit, "unified": unified}}})
}

#[track_caller]
pub(crate) fn assert_files(container: &Container, expected: &[(&str, &str)]) {
    for (file, value) in expected {
        assert_eq!(container.cgroup_file(file), *value, "{file}");
    }
}

#[test]
fn what_kubelet_sends_reaches_the_files_and_wins() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 0.5");
    let annotations = json!({"ballast.dev/memory-low": "1Mi", "ballast.dev/memory-high": "2Mi"});
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let unified = json!({
        "memory.min": "16777216", "memory.low": "33554432", "memory.high": "50331648", "memory.oom.group": "1",
    });
    let container = pod.start(limited(64 * MI, unified));
    assert_files(
        &container,
        &[
            ("memory.min", "16777216"),
            ("memory.low", "33554432"),
            ("memory.high", "50331648"),
            ("memory.oom.group", "1"),
            ("memory.max", "67108864"),
        ],
    );
    crictl(&["update", "--memory", &(128 * MI).to_string(), &container.id]);
    assert_files(
        &container,
        &[("memory.low", "33554432"), ("memory.high", "50331648"), ("memory.max", "134217728")],
    );
}

#[test]
fn annotations_set_the_files_of_every_container_or_of_one() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let annotations = json!({
        "ballast.dev/memory-min": "4Mi",
        "ballast.dev/memory-low": "25%",
        "ballast.dev/memory-low.web": "0.5Gi",
        "ballast.dev/memory-high": "900M",
        "ballast.dev/memory-oom-group.web": "true",
    });
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let mut web = limited(1024 * MI, json!({}));
    web["metadata"] = json!({"name": "web", "attempt": 1});
    let web = pod.start(web);
    let other = pod.start(limited(1024 * MI, json!({})));
    assert_files(
        &web,
        &[
            ("memory.min", "4194304"),
            ("memory.low", "536870912"),
            ("memory.high", "899997696"),
            ("memory.oom.group", "1"),
        ],
    );
    assert_files(&other, &[("memory.low", "268435456"), ("memory.oom.group", "0")]);
    // What an annotation protects, its pod protects; no level above, which nobody asked for.
    let pod_low = std::fs::read_to_string(pod.cgroup.join("memory.low")).unwrap();
    assert_eq!(pod_low.trim(), "805306368");
    assert_eq!(kubepods.read("burstable/memory.low"), "0");
}

#[test]
fn a_wrong_annotation_refuses_the_pod_by_name_and_value() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    for (name, value) in [
        ("ballast.dev/memory-low", "12Qi"),
        ("ballast.dev/memory-high.web", "-1Mi"),
        ("ballast.dev/memory-oom-group", "perhaps"),
        ("ballast.dev/memory-lo", "12Mi"),
    ] {
        let error = kubepods.try_pod(&mut node, Class::Burstable, json!({name: value})).unwrap_err();
        assert!(error.contains(name), "{error}");
        assert!(error.contains(value) || error.contains("is not an annotation of Ballast"), "{error}");
    }
    // A share of nothing can only be refused when the limit is known.
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-low": "50%"}));
    let error = pod.refusal(json!({}));
    assert!(error.contains("ballast.dev/memory-low") && error.contains("50%"), "{error}");
}

#[test]
fn an_update_is_refused_when_it_breaks_what_an_annotation_promises() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-min": "32Mi"}));
    let container = pod.start(limited(64 * MI, json!({})));
    let outcome = run("crictl", &["update", "--memory", &(16 * MI).to_string(), &container.id]);
    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("ballast.dev/memory-min"), "{}", outcome.stderr);
    assert_files(&container, &[("memory.max", "67108864"), ("memory.min", "33554432")]);
}
