//! `crictl logs`: every line once, whatever a line is.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use serde_json::json;

use crate::sh;

/// A container's script that prints once [`open_the_gate`] was called.
fn behind_a_gate(script: &str) -> serde_json::Value {
    sh(&format!("mkfifo /tmp/gate; read go < /tmp/gate; {script}"))
}

fn open_the_gate(container: &Container) {
    container.exec(&["sh", "-c", "until [ -p /tmp/gate ]; do :; done"]);
    // From outside: a command in the container can be killed with it before its own end.
    let gate = format!("/proc/{}/root/tmp/gate", container.process().pid);
    File::options().write(true).open(gate).unwrap().write_all(b"go\n").unwrap();
}

#[test]
fn logs_follow_each_attempt_to_its_end() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mut expected = Vec::new();
    // kubelet gives every attempt its own file; one for all shows that what is there stays.
    for (attempt, path) in [(0, "again.log"), (1, "again.log"), (2, "another.log")] {
        let mut differences =
            behind_a_gate(&format!("for i in 1 2 3; do echo attempt {attempt} line $i; done; exit 1"));
        differences["metadata"] = json!({"name": "again", "attempt": attempt});
        differences["log_path"] = json!(path);
        let container = pod.start(differences);
        let mut follower = Command::new("crictl")
            .args(["logs", "--follow", &container.id])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(follower.stdout.take().unwrap());
        open_the_gate(&container);
        let followed: Vec<String> = output.lines().map(Result::unwrap).collect();
        follower.wait().unwrap();
        let lines = [1, 2, 3].map(|line| format!("attempt {attempt} line {line}"));
        assert!(followed.ends_with(&lines), "attempt {attempt}: {followed:?}");
        let log = String::from_utf8(container.raw_log_bytes()).unwrap();
        let in_file: Vec<&str> =
            log.lines().filter_map(|line| line.split_once(" stdout F ")).map(|parts| parts.1).collect();
        if path == "another.log" {
            expected.clear();
        }
        expected.extend(lines);
        assert_eq!(in_file, expected);
        assert_eq!(container.exit_code(), 1);
    }
}

#[test]
fn long_binary_and_unfinished_lines_come_out_as_they_went_in() {
    const LONG: usize = 40_000;
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let script = format!(
        "head -c {LONG} /dev/zero | tr '\\0' x; echo; printf '\\001\\377\\000\\033[0m\\n'; echo err >&2; printf unfinished"
    );
    let container = pod.start(sh(&script));
    assert_eq!(container.exit_code(), 0);
    let output = Command::new("crictl").args(["logs", &container.id]).output().unwrap();
    let mut expected = vec![b'x'; LONG];
    expected.extend_from_slice(b"\n\x01\xff\x00\x1b[0m\nunfinished");
    let printed = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    assert!(
        printed == expected,
        "{} bytes: {:?}",
        printed.len(),
        String::from_utf8_lossy(&printed[LONG.min(printed.len())..])
    );
    assert_eq!(output.stderr, b"err\n");
    let tags: Vec<String> = container
        .raw_log_bytes()
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            Some(String::from_utf8_lossy(line.split(|byte| *byte == b' ').nth(2)?).into_owned())
        })
        .collect();
    assert!(tags.iter().filter(|tag| *tag == "P").count() >= LONG / (16 << 10), "{tags:?}");
}

#[test]
fn megabytes_of_lines_lose_none() {
    // Many times what pipes hold on the way.
    const LINES: usize = 100_000;
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let line = "0123456789".repeat(10);
    let container = pod.start(sh(&format!("yes {line} | head -n {LINES}")));
    assert_eq!(container.exit_code(), 0);
    let log = container.raw_log_bytes();
    let whole = log.split(|byte| *byte == b'\n').filter(|entry| entry.ends_with(line.as_bytes())).count();
    assert_eq!(whole, LINES);
    assert_eq!(log.iter().filter(|byte| **byte == b'\n').count(), LINES, "and nothing else");
}

#[test]
fn tail_and_since_choose_the_last_lines() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container =
        pod.start(sh("seq 1 10; mkfifo /tmp/gate; read go < /tmp/gate; echo late; exec sleep 1000"));
    container.wait_for_log("10");
    let logs = |options: &[&str]| crictl(&[&["logs"], options, &[container.id.as_str()]].concat());
    assert_eq!(logs(&["--tail", "3"]), "8\n9\n10");
    assert_eq!(logs(&["--tail", "0"]), "");
    let between = run("date", &["--utc", "+%Y-%m-%dT%H:%M:%S.%NZ"]).expect_success("date");
    open_the_gate(&container);
    container.wait_for_log("late");
    assert_eq!(logs(&["--since", between.trim()]), "late");
    assert_eq!(logs(&["--since", "1h"]).lines().count(), 11);
    let stamped = logs(&["--timestamps", "--tail", "1"]);
    assert!(stamped.ends_with(" late") && stamped > between, "{stamped}");
}
