//! `ballast priority`: an operator's word about a running pod.

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::kubepods::{Class, Kubepods};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::{Value, json};

use crate::tree::Tree;
use crate::{assert_files, named, oom_score};

#[track_caller]
fn priority(pod: &Pod, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["priority", "--json", &pod.id], arguments].concat();
    let told = run("ballast", &arguments).expect_success(&format!("ballast {arguments:?}"));
    serde_json::from_str(&told).unwrap()
}

/// Name, level and source of each container.
fn levels(told: &[Value]) -> Vec<(&str, Option<u64>, Option<&str>)> {
    let mut levels: Vec<_> = told
        .iter()
        .map(|one| (one["container"].as_str().unwrap(), one["level"].as_u64(), one["source"].as_str()))
        .collect();
    levels.sort_unstable();
    levels
}

fn weighed(name: &str) -> Value {
    let mut container = named(name);
    container["linux"] = json!({"resources": {"cpu_shares": 2048, "oom_score_adj": 900}});
    container
}

#[test]
fn a_pod_goes_down_and_back_without_a_trace() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let (web, batch) = (pod.start(weighed("web")), pod.start(weighed("batch")));
    let before = Tree::of(&pod);
    assert_eq!(levels(&priority(&pod, &[])), [("", None, None), ("batch", None, None), ("web", None, None)]);

    let word = Some("operator");
    let told = priority(&pod, &["offline"]);
    assert_eq!(levels(&told), [("", Some(7), word), ("batch", Some(7), word), ("web", Some(7), word)]);
    assert!(
        told[0]["outcomes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().contains("cpu.idle=1")),
        "{told:?}"
    );
    for container in [&web, &batch] {
        assert_files(container, &[("cpu.idle", "1")]);
        assert_eq!(oom_score(container), 1000);
    }
    // Whoever comes later has it, too.
    let late = pod.start(weighed("late"));
    assert_files(&late, &[("cpu.idle", "1")]);
    assert_eq!(oom_score(&late), 1000);
    assert_eq!(late.exec(&["cat", "/proc/self/oom_score_adj"]), "1000");
    ballast_integration::testbed::command::crictl(&["rm", "--force", &late.id]);

    priority(&pod, &["3"]);
    assert_files(&web, &[("cpu.idle", "0")]);
    assert_eq!(oom_score(&web), 942);
    priority(&pod, &["online"]);
    assert_eq!(levels(&priority(&pod, &["reset"]))[1], ("batch", None, None));
    let after = Tree::of(&pod);
    assert!(after == before, "{:#?}", before.differences(&after));
    for container in [&web, &batch] {
        assert_eq!(oom_score(container), 900);
    }
}

#[test]
fn what_a_pod_asked_for_is_back_when_the_word_is_taken_back() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let annotations = json!({"ballast.dev/priority": "2", "ballast.dev/priority.batch": "offline"});
    let pod = kubepods.pod(&mut node, Class::Burstable, annotations);
    let (web, batch) = (pod.start(weighed("web")), pod.start(weighed("batch")));
    let before = Tree::of(&pod);
    let scores = [&web, &batch].map(oom_score);
    let own = [
        ("", Some(2), Some("ballast.dev/priority")),
        ("batch", Some(7), Some("ballast.dev/priority.batch")),
        ("web", Some(2), Some("ballast.dev/priority")),
    ];
    assert_eq!(levels(&priority(&pod, &[])), own);
    for (level, score) in [("online", 900), ("offline", 1000), ("0", 900), ("7", 1000), ("5", 971)] {
        priority(&pod, &[level]);
        assert_eq!([&web, &batch].map(oom_score), [score; 2], "{level}");
    }
    assert_eq!(levels(&priority(&pod, &["reset"])), own);
    let after = Tree::of(&pod);
    assert!(after == before, "{:#?}", before.differences(&after));
    assert_eq!([&web, &batch].map(oom_score), scores);
}

#[test]
fn one_container_can_be_meant() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let (web, batch) = (pod.start(weighed("web")), pod.start(weighed("batch")));
    let before = Tree::of(&pod);
    let told = priority(&pod, &["offline", "--container", "batch"]);
    assert_eq!(levels(&told), [("batch", Some(7), Some("operator"))]);
    assert_files(&batch, &[("cpu.idle", "1")]);
    assert_files(&web, &[("cpu.idle", "0")]);
    priority(&pod, &["reset", "--container", &batch.id]);
    let after = Tree::of(&pod);
    assert!(after == before, "{:#?}", before.differences(&after));
    let table = run("ballast", &["priority", &pod.id]).expect_success("ballast priority");
    assert!(table.contains("(sandbox)") && table.contains("web"), "{table}");
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({}));
    for (arguments, named) in [
        (&["priority", "no-such-pod"][..], "no-such-pod"),
        (&["priority", &pod.id, "8"], "is not a priority"),
        (&["priority", &pod.id, "--container", "nobody"], "nobody"),
    ] {
        let outcome = run("ballast", arguments);
        assert_ne!(outcome.code, Some(0), "{arguments:?}");
        assert!(outcome.stderr.contains(named), "{}", outcome.stderr);
    }
}
