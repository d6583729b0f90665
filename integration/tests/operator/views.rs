//! `ballast proc`.

use super::{LIMIT_KIB, ballast, limited, name, node, refusal};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::json::{merge, number, text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};

/// What a container's report says.
#[track_caller]
fn report(container: &Container) -> Value {
    let all: Value = serde_json::from_str(&ballast(&["proc", "list", "--json"])).unwrap();
    let reports = all.as_array().unwrap();
    reports.iter().find(|report| report["id"] == container.id).expect("the container is not listed").clone()
}

fn total_kib(container: &Container) -> u64 {
    let line = container.exec(&["head", "-1", "/proc/meminfo"]);
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A line of the table that `free -s` prints again and again.
fn next_total_kib(lines: &mut impl Iterator<Item = String>) -> u64 {
    let line = lines.find(|line| line.starts_with("Mem:")).expect("free ended");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[track_caller]
fn is_taken_away_and_put_back(pod: Value) {
    let mut node = node();
    let mut differences = limited();
    if let Some(security) = pod.pointer("/linux/security_context") {
        merge(&mut differences, json!({"linux": {"security_context": security}}));
    }
    let pod = node.pod(pod);
    let container = pod.start(differences);
    let host = std::fs::read_to_string("/proc/meminfo").unwrap();
    let host_kib: u64 = host.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(total_kib(&container), LIMIT_KIB);
    // It keeps its file open.
    let mut free = container.spawn_exec(&["free", "-k", "-s", "0.1"]);
    let mut lines = BufReader::new(free.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(next_total_kib(&mut lines), LIMIT_KIB);

    let off: Value = serde_json::from_str(&ballast(&["proc", "off", &pod.id, "--json"])).unwrap();
    assert_eq!((text(&off, "/0/id"), &off[0]["failure"]), (&*container.id, &Value::Null));
    assert_eq!(total_kib(&container), host_kib);
    assert!(!container.process().read("mountinfo").contains(" fuse.ballast "));
    assert_eq!(text(&report(&container), "/view"), "off");
    let reads = number(&report(&container), "/reads");
    // What it had printed before comes first.
    let is_still_served = (0..200).any(|_| {
        assert_eq!(next_total_kib(&mut lines), LIMIT_KIB, "an open file is what it was");
        number(&report(&container), "/reads") > reads
    });
    assert!(is_still_served);

    let on: Value = serde_json::from_str(&ballast(&["proc", "on", &container.id, "--json"])).unwrap();
    assert_eq!(on[0]["paths"].as_array().unwrap().len(), off[0]["paths"].as_array().unwrap().len());
    assert_eq!(total_kib(&container), LIMIT_KIB);
    assert_eq!(text(&report(&container), "/view"), "on");
    free.kill().unwrap();
    free.wait().unwrap();
}

#[test]
fn a_view_is_taken_away_and_put_back_while_files_are_open() {
    is_taken_away_and_put_back(json!({}));
}

#[test]
fn a_view_is_taken_away_and_put_back_in_a_user_namespace() {
    let ids = json!([{"container_id": 0, "host_id": 200_000, "length": 65_536}]);
    let options = json!({"pid": 1, "userns_options": {"mode": 0, "uids": ids, "gids": ids}});
    is_taken_away_and_put_back(json!({
        // Without masked paths it could nest others, and has to ask.
        "annotations": {"ballast.dev/proc-view": "on"},
        "linux": {"security_context": {"namespace_options": options}},
    }));
}

#[test]
fn a_view_is_taken_away_and_put_back_in_a_pod_that_shares_its_processes() {
    is_taken_away_and_put_back(json!({"linux": {"security_context": {"namespace_options": {"pid": 0}}}}));
}

#[test]
fn views_are_listed_with_their_files_and_how_often_they_are_read() {
    let mut node = node();
    let pod = node.pod(json!({"annotations": {"ballast.dev/proc-view": "meminfo,cpuinfo"}}));
    let mut differences = limited();
    differences["metadata"] = json!({"name": "web", "attempt": 1});
    let container = pod.start(differences);
    let before = report(&container);
    let files = json!([
        {"path": "/proc/cpuinfo", "mechanism": "lasting"}, {"path": "/proc/meminfo", "mechanism": "live"},
    ]);
    assert_eq!((&before["files"], text(&before, "/container")), (&files, "web"));
    assert_eq!((text(&before, "/pod"), text(&before, "/state")), (&*name(&pod), "running"));
    for _ in 0..10 {
        container.exec(&["cat", "/proc/meminfo"]);
    }
    let after = report(&container);
    assert!(number(&after, "/reads") >= number(&before, "/reads") + 10, "{before} {after}");
    assert_eq!(number(&after, "/fallbacks"), 0);
    let table = ballast(&["proc"]);
    assert!(table.lines().any(|line| line.contains(" web ") && line.contains(" on ")), "{table}");
    let shown = ballast(&["proc", "show", &format!("default/{}/web", name(&pod))]);
    assert!(shown.contains("/proc/meminfo"), "{shown}");
}

#[test]
fn what_has_no_view_has_nothing_to_take_away() {
    let mut node = node();
    let pod = node.pod(json!({"annotations": {"ballast.dev/proc-view": "off"}}));
    let container = pod.start(limited());
    let said = refusal(&["proc", "off", &container.id]);
    assert!(said.ends_with("the container has no view of /proc"), "{said}");
    let said = refusal(&["proc", "off", &pod.id]);
    assert_eq!(said, format!("ballast: {} has no view of /proc", pod.id));
    assert_eq!(
        refusal(&["proc", "on", "nobody"]),
        "ballast: no pod or container of Ballast has the id or name nobody"
    );
}
