//! A pod's ordinary life.

use std::collections::BTreeSet;

use ballast_integration::testbed::command::{Outcome, crictl, crictl_with_input, run};
use ballast_integration::testbed::container::{BUSYBOX, Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
use ballast_integration::testbed::terminal::Terminal;
use serde_json::{Value, json};

/// An image that sets user, working directory and stop signal.
const DESCRIBED: &str = "ballast.dev/test/described:latest";

/// The exit code that crictl reports for a command it ran in a container.
#[track_caller]
fn code_of(outcome: &Outcome) -> u32 {
    if outcome.code == Some(0) {
        return 0;
    }
    let code = outcome
        .stderr
        .rsplit_once("exit code ")
        .and_then(|(_, rest)| rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok());
    code.unwrap_or_else(|| panic!("no exit code in {:?}", outcome.stderr))
}

fn sh(script: &str) -> Value {
    json!({"command": ["sh", "-c", script]})
}

#[test]
fn exec_reports_the_commands_exit_code() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    for code in [0, 1, 7, 255] {
        let outcome = container.try_exec(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(code_of(&outcome), code);
    }
    let killed = container.try_exec(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!(code_of(&killed), 128 + 9);
    let sync = run("crictl", &["exec", "--sync", &container.id, "sh", "-c", "echo out; exit 3"]);
    assert!(sync.stderr.contains("exited with 3"), "{sync:?}");
}

#[test]
fn exec_of_a_command_that_does_not_exist_names_it() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let outcome = container.try_exec(&["/no/such/command"]);
    assert_ne!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("/no/such/command"), "{}", outcome.stderr);
    assert!(outcome.stderr.to_lowercase().contains("no such file or directory"), "{}", outcome.stderr);
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}

#[test]
fn exec_passes_standard_input_and_its_end() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let text = "a line\n".repeat(20_000);
    let outcome = crictl_with_input(&["exec", "-i", &container.id, "wc", "-c"], &text);
    assert_eq!(outcome.expect_success("exec -i wc").trim(), text.len().to_string());
}

#[test]
fn exec_keeps_standard_output_and_standard_error_apart() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let outcome = container.try_exec(&["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("to stdout\n", "to stderr\n"));
}

#[test]
fn exec_on_a_terminal_is_a_shell_for_a_person() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let mut terminal = Terminal::run("crictl", &["exec", "-it", &container.id, "sh"], 31, 97);
    // The size comes after the start, from crictl.
    terminal.type_in("tty; until stty size | grep '31 97'; do :; done; echo si''zed\n");
    let shown = terminal.read_until("sized");
    assert!(shown.contains("/dev/pts/"), "{shown:?}");
    terminal.type_in("exit 0\n");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn a_terminal_interrupts_what_runs_in_its_foreground() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let mut terminal = Terminal::run("crictl", &["exec", "-it", &container.id, "sh"], 24, 80);
    // The job itself tells that it has the foreground, and is past what a shell does in its place.
    terminal.type_in("awk 'BEGIN { print \"be\" \"gin\"; getline }'\n");
    terminal.read_until("begin\r\n");
    terminal.type_in("\u{3}");
    // The shell asks for more when its job has ended.
    terminal.read_until("# ");
    terminal.type_in("echo job ended with $?\n");
    terminal.read_until("job ended with 130");
    terminal.type_in("exit\n");
    terminal.exit_code();
}

#[test]
fn an_exec_has_the_containers_environment_user_and_cgroup() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({
        "envs": [{"key": "COLOUR", "value": "blue"}],
        "working_dir": "/var/tmp",
        "linux": {"security_context": {"run_as_user": {"value": 1234}, "run_as_group": {"value": 2345}}},
    }));
    let script = "echo $COLOUR $(id -u) $(id -g) $(pwd); cat /proc/self/cgroup";
    let shown = container.exec(&["sh", "-c", script]);
    let (first, cgroup) = shown.split_once('\n').unwrap();
    assert_eq!(first, "blue 1234 2345 /var/tmp");
    assert_eq!(cgroup, "0::/", "a cgroup namespace hides the path");
    let mut child = container.spawn_exec(&["sh", "-c", "echo $$; exec sleep 1000"]);
    let members = ask_until("the exec's process in the container's cgroup", || {
        let members = container.cgroup_file("cgroup.procs");
        (members.lines().count() == 2).then_some(members)
    });
    assert!(members.lines().any(|pid| pid == container.process().pid.to_string()), "{members}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn logs_have_every_line_of_both_streams() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let lines = pod.start(json!({"image": {"image": SCRATCH}, "args": ["lines", "5000"]}));
    let printed = lines.output();
    let expected: String = (1..=5000).map(|line| format!("line {line}\n")).collect();
    assert_eq!(printed, expected);
    // Short ones keep containerd's logger busy for longest after the container's end.
    let short = pod.start(sh("yes x | head -n 5000"));
    assert_eq!(short.output(), "x\n".repeat(5000));
    let both = pod.start(sh("echo out; echo err >&2; printf unfinished"));
    assert_eq!(both.exit_code(), 0);
    let log = both.raw_log();
    for part in ["stdout F out", "stderr F err", "unfinished"] {
        assert!(log.contains(part), "{part} not in {log}");
    }
}

#[test]
fn attach_gives_the_container_its_input_and_shows_its_output() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mut differences = sh("while read line; do echo you said $line; done; exit 5");
    differences["stdin"] = json!(true);
    differences["stdin_once"] = json!(true);
    let container = pod.start(differences);
    let attached = crictl_with_input(&["attach", "-i", &container.id], "good morning\n");
    assert_eq!(attached.expect_success("attach").trim(), "you said good morning");
    assert_eq!(container.exit_code(), 5, "the end of its input ends the container");
}

#[test]
fn a_container_with_a_terminal_has_one_on_all_standard_streams() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container =
        pod.start(json!({"image": {"image": SCRATCH}, "args": ["tty"], "tty": true, "stdin": true}));
    let shown = container.output().replace('\r', "");
    for stream in ["stdin", "stdout", "stderr"] {
        assert!(shown.contains(&format!("{stream} /dev/pts/0")), "{shown}");
    }
}

#[test]
fn stats_tell_memory_and_processor_time() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["memhog", "33554432"]}));
    container.wait_for_log("holding");
    let output = crictl(&["stats", "--output", "json", "--id", &container.id]);
    let stats: Value = serde_json::from_str(&output).unwrap();
    let memory = number(&stats, "/stats/0/memory/workingSetBytes/value");
    assert!((32 << 20..64 << 20).contains(&memory), "{memory} bytes");
    assert!(number(&stats, "/stats/0/cpu/usageCoreNanoSeconds/value") > 0, "{stats}");
}

#[test]
fn inspect_tells_the_first_process_and_its_end() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.create(sh("trap 'exit 9' TERM; echo ready; while :; do sleep 1000 & wait; done"));
    assert_eq!(container.state(), "CONTAINER_CREATED");
    crictl(&["start", &container.id]);
    container.wait_for_log("ready");
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    let process = container.process();
    assert!(process.read("cmdline").starts_with("sh\0-c\0"), "{}", process.read("cmdline"));
    assert!(process.cgroup().contains(&container.id), "{}", process.cgroup());
    assert!(process.status("NSpid").ends_with("\t1"), "{}", process.status("NSpid"));
    crictl(&["stop", "--timeout", "100", &container.id]);
    assert_eq!(number(&container.inspect(), "/status/exitCode"), 9);
}

#[test]
fn the_reason_of_an_end_is_completed_or_error() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    for (verb, argument, code, reason) in [
        ("exit", "0", 0, "Completed"),
        ("exit", "3", 3, "Error"),
        ("kill", "15", 0, "Completed"),
        ("sleep", "0", 0, "Completed"),
    ] {
        let container = pod.start(json!({"image": {"image": SCRATCH}, "args": [verb, argument]}));
        let ended = container.wait();
        assert_eq!(number(&ended, "/status/exitCode"), code, "{verb} {argument}");
        assert_eq!(text(&ended, "/status/reason"), reason, "{verb} {argument}");
        let (created, finished) = (text(&ended, "/status/createdAt"), text(&ended, "/status/finishedAt"));
        assert!(!created.is_empty() && created < finished, "created {created}, finished {finished}");
    }
}

#[test]
fn stop_asks_with_sigterm_first() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container =
        pod.start(sh("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 1000 & wait $!; done"));
    container.wait_for_log("ready");
    crictl(&["stop", "--timeout", "100", &container.id]);
    let ended = container.wait();
    assert_eq!(number(&ended, "/status/exitCode"), 0);
    assert!(container.logs().contains("asked"));
}

#[test]
fn stop_kills_what_does_not_listen() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["stubborn"]}));
    let process = container.process();
    crictl(&["stop", "--timeout", "1", &container.id]);
    process.wait();
    let ended = container.wait();
    assert_eq!(number(&ended, "/status/exitCode"), 128 + 9);
    assert_eq!(text(&ended, "/status/reason"), "Error");
}

#[test]
fn an_image_sets_user_working_directory_and_stop_signal() {
    let mut node = Node::take();
    node.pull(DESCRIBED);
    let pod = node.pod(json!({}));
    let script = "trap 'exit 4' USR1; id -un; pwd; cat /data/from-image; echo ready; while :; do sleep 1000 & wait $!; done";
    let mut differences = sh(script);
    differences["image"] = json!({"image": DESCRIBED});
    let container = pod.start(differences);
    container.wait_for_log("ready");
    let logs = container.logs();
    assert_eq!(logs.lines().collect::<Vec<_>>(), ["nobody", "/var/tmp", "from the image", "ready"]);
    crictl(&["stop", "--timeout", "100", &container.id]);
    assert_eq!(container.exit_code(), 4, "SIGUSR1 is this image's stop signal");
}

#[test]
fn removing_a_container_and_its_pod_leaves_no_word_of_them() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["sleep"]}));
    let cgroup = container.process().cgroup();
    crictl(&["stop", &container.id]);
    crictl(&["rm", &container.id]);
    assert!(run("crictl", &["inspect", &container.id]).stderr.contains("not found"));
    assert!(!std::path::Path::new(&cgroup).exists(), "{cgroup} is left");
    assert!(pod.is_ready());
    crictl(&["stopp", &pod.id]);
    assert!(!pod.is_ready());
    crictl(&["rmp", &pod.id]);
    assert!(run("crictl", &["inspectp", &pod.id]).stderr.contains("not found"));
}

#[test]
fn a_container_that_was_never_started_can_be_removed() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.create(json!({}));
    crictl(&["rm", "--force", &container.id]);
    assert!(pod.is_ready());
}

#[test]
fn host_name_hosts_and_resolver_are_the_pods() {
    let mut node = Node::take();
    let dns = json!({"servers": ["10.9.8.7"], "searches": ["example.test"], "options": ["ndots:3"]});
    let pod = node.pod(json!({"hostname": "a-name-of-its-own", "dns_config": dns}));
    let container = pod.start(json!({}));
    assert_eq!(container.exec(&["hostname"]), "a-name-of-its-own");
    assert!(container.exec(&["cat", "/etc/hostname"]).contains("a-name-of-its-own"));
    assert!(container.exec(&["cat", "/etc/hosts"]).contains("localhost"));
    let resolver = container.exec(&["cat", "/etc/resolv.conf"]);
    for line in ["nameserver 10.9.8.7", "search example.test", "options ndots:3"] {
        assert!(resolver.contains(line), "{line} not in {resolver}");
    }
}

#[test]
fn containers_of_a_pod_share_its_network_ipc_and_host_name() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let (first, second) = (pod.start(json!({})).process(), pod.start(json!({})).process());
    let sandbox = pod.process();
    for shared in ["net", "ipc", "uts"] {
        assert_eq!(first.namespace(shared), second.namespace(shared), "{shared}");
        assert_eq!(first.namespace(shared), sandbox.namespace(shared), "{shared}");
    }
    for own in ["mnt", "pid", "cgroup"] {
        assert_ne!(first.namespace(own), second.namespace(own), "{own}");
    }
    let node_itself = ballast_integration::testbed::process::Process::open(1).unwrap();
    for own in ["net", "ipc", "uts", "mnt", "pid", "cgroup"] {
        assert_ne!(first.namespace(own), node_itself.namespace(own), "{own}");
    }
}

#[test]
fn containers_share_a_pid_namespace_when_the_pod_asks() {
    let mut node = Node::take();
    // 0: one for the pod.
    let options = json!({"security_context": {"namespace_options": {"pid": 0}}});
    let pod = node.pod(json!({"linux": options}));
    let first = pod.start(json!({"linux": options, "command": ["sleep", "1111"]}));
    let second = pod.start(json!({"linux": options, "command": ["sleep", "2222"]}));
    assert_eq!(first.process().namespace("pid"), second.process().namespace("pid"));
    assert_eq!(pod.process().namespace("pid"), second.process().namespace("pid"));
    let seen = second.exec(&["ps"]);
    assert!(seen.contains("sleep 1111") && seen.contains("sleep 2222"), "{seen}");
    second.process().signal(rustix::process::Signal::KILL);
    assert_eq!(second.exit_code(), 137);
    assert_eq!(first.state(), "CONTAINER_RUNNING", "only the pod's first process takes others with it");
}

#[test]
fn a_pod_has_one_shim_however_many_containers() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let shims = pod.shims();
    assert_eq!(shims.len(), 1, "{shims:?}");
    let containers: Vec<Container> = (0..3).map(|_| pod.start(json!({}))).collect();
    assert_eq!(pod.shims(), shims);
    let pids: BTreeSet<u32> = containers.iter().map(|container| container.process().pid).collect();
    assert_eq!(pids.len(), 3);
    for container in &containers {
        let parent: u32 = container.process().status("PPid").parse().unwrap();
        assert_eq!(shims, [parent], "the shim is the parent of every container");
    }
}

#[test]
fn arguments_reach_the_command_unchanged() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let words = ["arguments", "", "two words", "quo\"te", "new\nline", "ü"];
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": words}));
    assert_eq!(container.output(), format!("{}\n", words[1..].join("\n")));
}

#[test]
fn supplemental_groups_reach_container_and_exec() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let security = json!({"run_as_user": {"value": 1000}, "supplemental_groups": [4321, 5432]});
    let container = pod.start(json!({
        "image": {"image": BUSYBOX}, "command": ["sleep", "1000"], "linux": {"security_context": security},
    }));
    let groups = container.process().status("Groups");
    for group in ["4321", "5432"] {
        assert!(groups.split_whitespace().any(|word| word == group), "{groups}");
        assert!(container.exec(&["id", "-G"]).split_whitespace().any(|word| word == group));
    }
}
