//! Talking to the shim of a pod.

use super::{ballast, limited, name, node, refusal};
use ballast_integration::testbed::process::Process;
use rustix::process::Signal;
use serde_json::json;
use std::path::PathBuf;

#[test]
fn the_log_level_of_a_running_shim_changes() {
    let mut node = node();
    let pod = node.pod(json!({}));
    let before = ballast(&["log-level", &pod.id]);
    for pod in [&*name(&pod), &format!("default/{}", name(&pod)), &pod.id[..20]] {
        assert_eq!(ballast(&["log-level", pod, "trace"]), format!("trace (was {before})"));
        assert_eq!(ballast(&["log-level", pod]), "trace");
        assert_eq!(ballast(&["log-level", pod, &before]), format!("{before} (was trace)"));
    }
}

#[test]
fn a_pod_that_nobody_has_or_several_have_is_told() {
    let mut node = node();
    assert_eq!(refusal(&["log-level", "nobody"]), "ballast: no pod of Ballast has the id or name nobody");
    let metadata =
        |uid: &str| json!({"metadata": {"name": "twin", "namespace": uid, "uid": uid, "attempt": 1}});
    let pods = [node.pod(metadata("east")), node.pod(metadata("west"))];
    let said = refusal(&["log-level", "twin"]);
    for (pod, title) in pods.iter().zip(["east/twin", "west/twin"]) {
        assert!(said.contains(&format!("pod {title} ({})", pod.id)), "{said}");
        ballast(&["log-level", title]);
    }
}

#[test]
fn a_shim_that_does_not_answer_is_told_by_its_pod_and_the_others_are_listed() {
    let mut node = node();
    let stopped = node.pod(json!({}));
    let other = node.pod(json!({}));
    let container = other.start(limited());
    let shims: Vec<_> = stopped.shims().into_iter().map(|pid| Process::open(pid).unwrap()).collect();
    shims.iter().for_each(|shim| shim.signal(Signal::STOP));
    let said = refusal(&["log-level", &stopped.id]);
    let listed = ballast_integration::testbed::command::run("ballast", &["proc", "list", "--json"]);
    shims.iter().for_each(|shim| shim.signal(Signal::CONT));
    let silent = format!("the shim of pod default/{} does not answer within 5 s", name(&stopped));
    assert_eq!(said, format!("ballast: {silent}"));
    assert!(listed.stdout.contains(&container.id), "{}", listed.stdout);
    assert_eq!(listed.code, Some(1));
    assert!(listed.stderr.contains(&silent), "{}", listed.stderr);
}

#[test]
fn a_shim_that_has_not_said_where_it_listens_is_of_an_older_version() {
    let mut node = node();
    let pod = node.pod(json!({}));
    let record = PathBuf::from("/run/ballast/k8s.io").join(&pod.id).join(".socket");
    let socket = std::fs::read_link(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    let said = refusal(&["log-level", &pod.id]);
    std::os::unix::fs::symlink(&socket, &record).unwrap();
    assert!(said.contains("has not said where it listens: it is of a version before this command"), "{said}");
    ballast(&["log-level", &pod.id]);
}
