//! Parts that die, restart or overrun at the wrong moment: no exit is lost, nothing is left behind.

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
    crictl(&["stop", "--timeout", "20", &container.id]);
    assert_eq!(container.exit_code(), 4);
    assert!(container.logs().contains("still here"));
}

/// The numbers of the lines `tick <number>` in a log.
fn ticks(log: &str) -> Vec<u64> {
    log.lines().filter_map(|line| line.rsplit_once("tick ")?.1.parse().ok()).collect()
}

#[test]
fn a_pod_outlives_containerd_and_loses_no_output() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let script = "i=0; while :; do echo tick $i; i=$((i+1)); usleep 2000; done";
    let container = pod.start(json!({"command": ["sh", "-c", script]}));
    container.wait_for_log("tick 10");
    let before = container.process();
    run("node-containerd", &["restart"]).expect_success("restart containerd");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    assert_eq!(container.process().pid, before.pid);
    assert_eq!(container.exec(&["echo", "exec works"]), "exec works");
    let last = *ticks(&container.raw_log()).last().unwrap();
    container.wait_for_log(&format!("tick {}", last + 20));
    let ticks = ticks(&container.raw_log());
    let gap = ticks.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "lines are missing between these two");
    let stopped = container.process();
    crictl(&["stop", "--timeout", "0", &container.id]);
    stopped.wait();
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
    // Opening for writing wakes every reader; closing ends their input.
    container.exec(&["sh", "-c", "exec 3> /tmp/gate"]);
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
