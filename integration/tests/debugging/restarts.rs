//! containerd restarted under somebody's hands.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use ballast_integration::testbed::command::{finish, run};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
use ballast_integration::testbed::terminal::Terminal;
use rustix::process::Signal;
use serde_json::json;

use crate::{is_runc, sh};

#[test]
fn exec_attach_and_logs_can_be_begun_anew_after_a_restart() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    // Nothing is on its way while containerd ends: what it has read and not yet written goes with it.
    let script = "trap 'exit 6' TERM; mkfifo /tmp/gate; seq 1 100; read go < /tmp/gate; seq 101 200; while :; do sleep 1000 & wait $!; done";
    let container = pod.start(sh(script));
    let pid = container.process().pid;
    let mut terminal = Terminal::run("crictl", &["exec", "-it", &container.id, "sh"], 24, 80);
    terminal.type_in("echo be''gin\n");
    terminal.read_until("begin");
    let piped = container.spawn_exec(&["sleep", "1000"]);
    let attached = Command::new("crictl")
        .args(["attach", &container.id])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut followed = Command::new("crictl")
        .args(["logs", "--follow", &container.id])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(followed.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().take(100).eq((1..=100).map(|number| number.to_string())));
    ask_until("every exec in the container", || {
        (container.cgroup_file("cgroup.procs").lines().count() == 3).then_some(())
    });
    run("node-containerd", &["restart"]).expect_success("restart containerd");
    // The streams went through containerd: their clients end.
    terminal.read_to_end();
    finish(piped);
    finish(attached);
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    assert_eq!(container.process().pid, pid);
    assert_eq!(container.cgroup_file("cgroup.procs").lines().count(), 3, "the execs' processes go on");
    assert_eq!(container.exec(&["echo", "exec works"]), "exec works");
    let mut terminal = Terminal::run("crictl", &["exec", "-it", &container.id, "sh"], 24, 80);
    terminal.type_in("echo an''ew; exit 0\n");
    terminal.read_until("anew");
    assert_eq!(terminal.exit_code(), Some(0));
    container.exec(&["sh", "-c", "echo go > /tmp/gate"]);
    container.wait_for_log("200");
    container.process().signal(Signal::TERM);
    assert_eq!(container.exit_code(), 6);
    let numbers =
        |range: std::ops::RangeInclusive<u32>| range.map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(container.logs().lines().collect::<Vec<_>>(), numbers(1..=200));
    // Whether a follower outlives containerd is crictl's luck; what it shows is whole.
    let rest: Vec<String> = lines.collect();
    followed.wait().unwrap();
    assert!(numbers(101..=200).starts_with(&rest), "{rest:?}");
}

#[test]
fn what_ends_while_containerd_is_away_is_told_with_code_and_reason() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let script = "trap 'exit 6' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
    let container = pod.start(sh(script));
    container.wait_for_log("ready");
    let process = container.process();
    run("node-containerd", &["kill"]).expect_success("kill containerd");
    process.signal(Signal::TERM);
    process.wait();
    run("node-containerd", &["start"]).expect_success("start containerd");
    let ended = container.wait();
    if is_runc(&node) {
        // containerd takes its shim for a leak and throws the code away.
        assert_eq!(number(&ended, "/status/exitCode"), 255);
        return;
    }
    assert_eq!(number(&ended, "/status/exitCode"), 6);
    assert_eq!(text(&ended, "/status/reason"), "Error");
}
