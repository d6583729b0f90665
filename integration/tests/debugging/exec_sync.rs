//! `crictl exec --sync`, which is how kubelet runs probes.

use ballast_integration::testbed::command::{Outcome, run};
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use serde_json::json;

fn exec_sync(container: &Container, options: &[&str], command: &[&str]) -> Outcome {
    run("crictl", &[&["exec", "--sync"], options, &[container.id.as_str()], command].concat())
}

#[test]
fn large_output_arrives_whole_and_apart_from_errors() {
    const BYTES: usize = 8_000_000;
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let script = format!("head -c {BYTES} /dev/zero | tr '\\0' x; echo to stderr >&2; exit 0");
    let outcome = exec_sync(&container, &[], &["sh", "-c", &script]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    // crictl prints the two fields of the answer one after the other.
    let (output, errors) = outcome.stdout.split_at(BYTES);
    assert!(output.bytes().all(|byte| byte == b'x'));
    assert_eq!(errors, "\nto stderr\n\n");
    // containerd's own limit of a message, whatever the runtime.
    let script = "head -c 20000000 /dev/zero; exit 0";
    let outcome = exec_sync(&container, &[], &["sh", "-c", script]);
    assert!(outcome.stderr.contains("message larger than max"), "{}", outcome.stderr);
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}

#[test]
fn a_timeout_kills_the_command_and_says_so() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    for command in [&["sleep", "1000"][..], &["sh", "-c", "trap '' TERM INT HUP; exec sleep 1000"]] {
        let outcome = exec_sync(&container, &["--timeout", "1"], command);
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stderr.contains("timed out after 1s"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("DeadlineExceeded"), "{}", outcome.stderr);
        assert_eq!(container.cgroup_file("cgroup.procs").lines().count(), 1, "{command:?} is left");
    }
    // A child of the command is the command's business; the container's end takes it.
    // containerd waits for the end of the output, so this one has another.
    let script = "sleep 1000 > /dev/null 2>&1 & wait";
    let outcome = exec_sync(&container, &["--timeout", "1"], &["sh", "-c", script]);
    assert!(outcome.stderr.contains("timed out after 1s"), "{}", outcome.stderr);
    assert_eq!(container.exec(&["echo", "still here"]), "still here");
}
