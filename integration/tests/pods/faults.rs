//! Parts that die, restart or overrun at the wrong moment: no exit is lost, nothing is left behind.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Child;

use ballast_integration::testbed::command::{crictl, finish, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::{self, Process, ask_until};
use ballast_integration::testbed::terminal::Terminal;
use rustix::process::Signal;
use serde_json::{Value, json};

fn probe(words: &[&str]) -> Value {
    json!({"image": {"image": SCRATCH}, "args": words})
}

#[track_caller]
fn wait_for_exit_at_cri(container: &Container) -> Value {
    ask_until("the container's end at CRI", || {
        Some(container.inspect()).filter(|inspected| text(inspected, "/status/state") == "CONTAINER_EXITED")
    })
}

/// What kubelet does: the first attempts can meet a container that containerd still believes in.
#[track_caller]
fn remove_until_gone(pod: &Pod) {
    ask_until("the pod's removal", || {
        (run("crictl", &["rmp", "--force", &pod.id]).code == Some(0)).then_some(())
    });
}

#[test]
fn a_killed_shim_takes_its_pod_with_it() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    // Several: containerd removes their bundles at the same time as it cleans up after the shim.
    let containers: Vec<Container> = (0..4).map(|_| pod.start(json!({}))).collect();
    let mut processes: Vec<Process> = containers.iter().map(Container::process).collect();
    processes.push(pod.process());
    for shim in pod.shims() {
        Process::open(shim).unwrap().signal(Signal::KILL);
    }
    for process in processes {
        process.wait();
    }
    for container in &containers {
        assert_ne!(number(&wait_for_exit_at_cri(container), "/status/exitCode"), 0);
    }
    ask_until("the pod's end at CRI", || (!pod.is_ready()).then_some(()));
}

#[test]
fn a_pod_whose_shim_was_killed_can_be_removed_at_once() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(probe(&["stubborn"]));
    let process = container.process();
    for shim in pod.shims() {
        Process::open(shim).unwrap().signal(Signal::KILL);
    }
    // What kubelet does until it succeeds: the first attempts meet a container that containerd still believes in.
    ask_until("the pod's removal", || {
        (run("crictl", &["rmp", "--force", &pod.id]).code == Some(0)).then_some(())
    });
    process.wait();
}

#[test]
fn a_shim_that_is_asked_to_end_leaves_a_removable_pod() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let process = container.process();
    for shim in pod.shims() {
        Process::open(shim).unwrap().signal(Signal::TERM);
    }
    remove_until_gone(&pod);
    process.wait();
}

#[test]
fn a_spawner_that_dies_is_told_and_its_pod_runs_on() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"command": ["sh", "-c", "trap 'echo still here; exit 4' TERM; echo ready; while :; do sleep 1000 & wait; done"]}));
    container.wait_for_log("ready");
    let log = Path::new(&std::env::var("BALLAST_NODE_LOGS").unwrap()).join("containerd.log");
    let told = || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains("the spawner has ended")).count()
    };
    let before = told();
    let shims = pod.shims();
    let spawner = process::table()
        .into_iter()
        .find(|entry| shims.contains(&entry.parent) && entry.name.starts_with("containerd-shim"))
        .expect("the shim has a spawner");
    Process::open(spawner.pid).unwrap().signal(Signal::KILL);
    ask_until("the shim's word", || (told() > before).then_some(()));
    let refused = container.try_exec(&["true"]);
    assert!(refused.stderr.contains("spawner"), "{refused:?}");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    crictl(&["stop", "--timeout", "100", &container.id]);
    assert_eq!(container.exit_code(), 4);
    assert!(container.logs().contains("still here"));
}

#[test]
fn a_pod_outlives_containerd_and_loses_no_output() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    // Nothing is on its way while containerd ends: what it has read and not yet written goes with it.
    let script = "mkfifo /tmp/away /tmp/back; seq 1 100; read go < /tmp/away; seq 101 200; read go < /tmp/back; seq 201 300; exec sleep 1000";
    let container = pod.start(json!({"command": ["sh", "-c", script]}));
    container.wait_for_log("100");
    let before = container.process();
    // Opening for writing waits for the reader, which has printed what comes before.
    let gate = |name: &str| {
        File::options().write(true).open(format!("/proc/{}/root/tmp/{name}", before.pid)).unwrap()
    };
    run("node-containerd", &["stop"]).expect_success("stop containerd");
    gate("away").write_all(b"go\n").unwrap();
    let mut back = gate("back");
    run("node-containerd", &["start"]).expect_success("start containerd");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    assert_eq!(container.process().pid, before.pid);
    assert_eq!(container.exec(&["echo", "exec works"]), "exec works");
    back.write_all(b"go\n").unwrap();
    container.wait_for_log("300");
    let logs = container.logs();
    assert!(logs.lines().eq((1..=300).map(|number| number.to_string())), "{logs}");
    crictl(&["stop", "--timeout", "0", &container.id]);
    before.wait();
    assert_eq!(container.exit_code(), 137);
}

#[test]
fn what_ends_while_containerd_is_down_is_known_afterwards() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"command": ["sh", "-c", "trap 'exit 6' TERM; echo ready; while :; do sleep 1000 & wait $!; done"]}));
    container.wait_for_log("ready");
    let process = container.process();
    run("node-containerd", &["kill"]).expect_success("kill containerd");
    process.signal(Signal::TERM);
    process.wait();
    run("node-containerd", &["start"]).expect_success("start containerd");
    let ended = wait_for_exit_at_cri(&container);
    assert_eq!(number(&ended, "/status/exitCode"), 6);
    assert!(pod.is_ready());
}

#[test]
fn a_terminal_outlives_containerd() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"command": ["sh"], "tty": true, "stdin": true}));
    run("node-containerd", &["restart"]).expect_success("restart containerd");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    let mut terminal = Terminal::run("crictl", &["attach", "-it", &container.id], 24, 80);
    terminal.type_in("echo still''here\n");
    terminal.read_until("stillhere");
    terminal.type_in("exit 3\n");
    assert_eq!(container.exit_code(), 3);
    terminal.exit_code();
}

#[test]
fn no_exit_is_lost_when_many_commands_end_at_once() {
    const COMMANDS: usize = 40;
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    container.exec(&["mkfifo", "/tmp/gate"]);
    let children: Vec<Child> = (0..COMMANDS)
        .map(|index| {
            container.spawn_exec(&["sh", "-c", &format!("read line < /tmp/gate; exit {}", index % 3 + 1)])
        })
        .collect();
    ask_until("every command in the container's cgroup", || {
        (container.cgroup_file("cgroup.procs").lines().count() > COMMANDS).then_some(())
    });
    // A line for each, also for those that have not yet come to the gate: it stays open until all have ended.
    let gate = format!("/proc/{}/root/tmp/gate", container.process().pid);
    let mut gate = File::options().read(true).write(true).open(gate).unwrap();
    gate.write_all(&[b'\n'; COMMANDS]).unwrap();
    for (index, child) in children.into_iter().enumerate() {
        let outcome = finish(child);
        let expected = format!("exit code {}", index % 3 + 1);
        assert!(outcome.stderr.contains(&expected), "{expected} not in {outcome:?}");
    }
    assert_eq!(container.cgroup_file("cgroup.procs").lines().count(), 1);
}

#[test]
fn no_exit_is_lost_when_the_containers_of_a_pod_end_at_once() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let containers: Vec<Container> = (0..12).map(|_| pod.start(probe(&["sleep"]))).collect();
    let processes: Vec<Process> = containers.iter().map(Container::process).collect();
    for process in &processes {
        process.signal(Signal::KILL);
    }
    for container in &containers {
        let ended = wait_for_exit_at_cri(container);
        assert_eq!(number(&ended, "/status/exitCode"), 137);
    }
    assert!(pod.is_ready());
}

#[test]
fn a_thousand_children_die_with_their_container() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(probe(&["fork", "1000"]));
    container.wait_for_log("started 1000");
    let cgroup = container.process().cgroup();
    let members = std::fs::read_to_string(format!("{cgroup}/pids.current")).unwrap();
    assert_eq!(members.trim(), "1001");
    crictl(&["stop", "--timeout", "0", &container.id]);
    assert_eq!(container.exit_code(), 137);
    crictl(&["rm", &container.id]);
    assert!(!Path::new(&cgroup).exists());
}

#[test]
fn an_orphan_in_the_nodes_pid_namespace_dies_with_its_container() {
    let mut node = Node::take();
    let options = json!({"security_context": {"namespace_options": {"pid": 2}}});
    let pod = node.pod(json!({"linux": options}));
    let mut differences = probe(&["orphan"]);
    differences["linux"] = options;
    let container = pod.start(differences);
    assert!(container.output().starts_with("left "), "that the orphan is gone shows in the node's footprint");
    crictl(&["rm", &container.id]);
    let cgroup = pod.cgroup.join(&container.id);
    assert!(!cgroup.exists(), "{} is left", cgroup.display());
}

#[test]
fn a_container_that_runs_out_of_memory_is_reported_as_oom_killed() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mut differences = probe(&["memhog", "268435456"]);
    differences["linux"] = json!({"resources": {"memory_limit_in_bytes": 32 << 20}});
    let container = pod.start(differences);
    let ended = container.wait();
    assert_eq!(number(&ended, "/status/exitCode"), 137);
    ask_until("the reason", || (text(&container.inspect(), "/status/reason") == "OOMKilled").then_some(()));
    assert!(pod.is_ready());
}
