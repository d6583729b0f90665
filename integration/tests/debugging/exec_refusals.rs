//! Exec where it cannot work, or where something is unusual: what it says, and that the container goes on.

use std::path::Path;

use ballast_integration::testbed::command::{Outcome, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::node::Node;
use serde_json::json;

use crate::{is_runc, sh};

fn exec_sync(container: &Container, command: &[&str]) -> Outcome {
    run("crictl", &[&["exec", "--sync", &container.id], command].concat())
}

/// Both ways to exec fail with crictl's code 1 and a text that has these parts.
#[track_caller]
fn assert_refused(container: &Container, command: &[&str], parts: &[&str]) {
    for outcome in [container.try_exec(command), exec_sync(container, command)] {
        assert_eq!(outcome.code, Some(1), "{command:?}: {outcome:?}");
        for part in parts {
            assert!(outcome.stderr.contains(part), "no {part:?} for {command:?} in {}", outcome.stderr);
        }
    }
}

#[test]
fn the_words_that_people_look_for_name_the_command() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    container.exec(&["sh", "-c", "mkdir /tmp/directory; echo text > /tmp/data; printf '#!/no/such\\n' > /tmp/script; printf text > /tmp/binary; chmod +x /tmp/script /tmp/binary"]);
    for (command, cause) in [
        ("nope", "executable file not found in $PATH"),
        ("/nope", "no such file or directory"),
        ("/tmp/data", "permission denied"),
        ("/tmp/directory", "is a directory"),
        ("", "executable file not found in $PATH"),
    ] {
        assert_refused(&container, &[command], &[&format!("exec: \\\"{command}\\\": "), cause]);
    }
    if is_runc(&node) {
        // It lets the process start, print why it cannot become the program, and end with 255.
        return;
    }
    for (command, cause) in
        [("/tmp/script", "no such file or directory"), ("/tmp/binary", "exec format error")]
    {
        assert_refused(&container, &[command], &["exec", command, cause]);
    }
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}

#[test]
fn an_image_without_a_shell_says_that_there_is_none() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["sleep"]}));
    assert_refused(&container, &["sh"], &["exec: \\\"sh\\\": executable file not found in $PATH"]);
    assert_eq!(container.exec(&["/probe", "echo", "but this is"]), "but this is");
}

#[test]
fn a_paused_container_takes_no_exec_until_it_is_resumed() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    run("ctr", &["-n", "k8s.io", "task", "pause", &container.id]).expect_success("pause");
    assert_refused(&container, &["true"], &["cannot exec in a paused"]);
    run("ctr", &["-n", "k8s.io", "task", "resume", &container.id]).expect_success("resume");
    assert_eq!(container.exec(&["echo", "again"]), "again");
}

#[test]
fn an_exited_container_takes_no_exec_and_no_attach() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(sh("exit 0"));
    assert_eq!(container.exit_code(), 0);
    assert_refused(&container, &["true"], &["container is in CONTAINER_EXITED state"]);
    let outcome = run("crictl", &["attach", &container.id]);
    assert!(outcome.stderr.contains("container is in CONTAINER_EXITED state"), "{}", outcome.stderr);
}

#[test]
fn an_exec_is_the_containers_user_on_its_read_only_root() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"linux": {"security_context": {
        "run_as_user": {"value": 1234}, "run_as_group": {"value": 2345}, "readonly_rootfs": true,
    }}}));
    assert_eq!(container.exec(&["sh", "-c", "echo $(id -u):$(id -g)"]), "1234:2345");
    let outcome = container.try_exec(&["sh", "-c", "echo x > /tmp/file"]);
    assert!(outcome.stderr.contains("Read-only file system"), "{}", outcome.stderr);
}

#[test]
fn a_working_directory_that_is_missing_is_made() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"working_dir": "/made/for/it"}));
    assert_eq!(container.exec(&["pwd"]), "/made/for/it");
    container.exec(&["rmdir", "/made/for/it"]);
    assert_eq!(container.exec(&["pwd"]), "/made/for/it");
    container.exec(&["sh", "-c", "rmdir /made/for/it; echo > /made/for/it"]);
    assert_refused(&container, &["pwd"], &["/made/for/it", "not a directory"]);
}

#[test]
fn an_exec_looks_its_home_up_in_the_passwd_of_the_moment() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    assert_eq!(container.exec(&["sh", "-c", "echo $HOME"]), "/root");
    container.exec(&["sh", "-c", "echo root:x:0:0:root:/another/home:/bin/sh > /etc/passwd"]);
    assert_eq!(container.exec(&["sh", "-c", "echo $HOME"]), "/another/home");
    // One that cannot be read is no reason to lock people out.
    container.exec(&["sh", "-c", "rm /etc/passwd; mkdir /etc/passwd"]);
    assert_eq!(container.exec(&["echo", "still in"]), "still in");
}

#[test]
fn a_checkpoint_is_refused_and_the_container_goes_on() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let pid = container.process().pid;
    let archive = "/run/ballast-tests/checkpoint.tar";
    let outcome = run("crictl", &["checkpoint", &format!("--export={archive}"), &container.id]);
    assert_ne!(outcome.code, Some(0));
    // containerd asks for criu itself; 1.7 has no such method.
    let said = ["criu binary not found", "CheckpointContainer not implemented"];
    assert!(said.iter().any(|text| outcome.stderr.contains(text)), "{}", outcome.stderr);
    assert!(!Path::new(archive).exists());
    let outcome = run("ctr", &["-n", "k8s.io", "task", "checkpoint", &container.id]);
    assert_ne!(outcome.code, Some(0));
    if !is_runc(&node) {
        assert!(outcome.stderr.contains("checkpointing a task is not supported"), "{}", outcome.stderr);
    }
    assert_eq!(container.process().pid, pid);
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}
