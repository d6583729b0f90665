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
    let script = "trap 'exit 6' TERM; i=0; while :; do echo tick $i; i=$((i+1)); usleep 2000; done";
    let container = pod.start(sh(script));
    container.wait_for_log("tick 10");
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
    ask_until("every exec in the container", || {
        (container.cgroup_file("cgroup.procs").lines().count() >= 3).then_some(())
    });
    run("node-containerd", &["restart"]).expect_success("restart containerd");
    // The streams went through containerd: their clients end.
    terminal.read_to_end();
    finish(piped);
    finish(attached);
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    assert_eq!(container.process().pid, pid);
    assert!(container.cgroup_file("cgroup.procs").lines().count() >= 3, "the execs' processes go on");
    assert_eq!(container.exec(&["echo", "exec works"]), "exec works");
    let mut terminal = Terminal::run("crictl", &["exec", "-it", &container.id, "sh"], 24, 80);
    terminal.type_in("echo an''ew; exit 0\n");
    terminal.read_until("anew");
    assert_eq!(terminal.exit_code(), Some(0));
    container.process().signal(Signal::TERM);
    assert_eq!(container.exit_code(), 6);
    let ticks: Vec<u64> = BufReader::new(followed.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    followed.wait().unwrap();
    assert!(ticks.len() > 10 && ticks.iter().copied().eq(0..ticks.len() as u64), "{ticks:?}");
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
