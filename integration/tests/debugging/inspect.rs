//! `crictl inspect` and `inspectp`: is it true what they say?

use std::fs;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
use serde_json::{Value, json};

use crate::sh;

#[test]
fn pids_and_cgroups_are_the_kernels() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let (inspected, sandbox) = (container.inspect(), pod.inspect());
    for (id, process) in [(&container.id, container.process()), (&pod.id, pod.process())] {
        let in_namespace = process.status("NSpid").split_whitespace().last().unwrap().to_owned();
        assert_eq!(in_namespace, "1");
        assert_eq!(process.cgroup(), pod.cgroup.join(id).display().to_string());
        let members = fs::read_to_string(format!("{}/cgroup.procs", process.cgroup())).unwrap();
        assert!(members.lines().any(|member| member == process.pid.to_string()), "{members}");
    }
    let handler = node.handler().to_owned();
    assert_eq!(text(&inspected, "/info/runtimeType"), format!("io.containerd.{handler}.v2"));
    assert_eq!(text(&sandbox, "/info/runtimeType"), format!("io.containerd.{handler}.v2"));
    assert_eq!(text(&sandbox, "/status/runtimeHandler"), handler);
    let spec = &inspected["info"]["runtimeSpec"];
    assert_eq!(spec["process"]["args"], json!(["sleep", "1000"]));
    assert_eq!(
        text(spec, "/linux/cgroupsPath"),
        format!("/{}/{}", pod.cgroup.file_name().unwrap().display(), container.id)
    );
    assert!(inspected["info"].get("runtimeOptions").is_some(), "{}", inspected["info"]);
    assert_eq!(text(&sandbox, "/info/runtimeSpec/process/args/0"), "/pause");
}

/// What CRI says about a container's end, once it has said why.
#[track_caller]
fn ending(container: &Container, reason: &str) -> Value {
    container.wait();
    ask_until(reason, || Some(container.inspect()).filter(|ended| text(ended, "/status/reason") == reason))
}

#[test]
fn the_reason_of_an_end_is_the_one_that_people_look_for() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let limited = |mut differences: Value| {
        differences["linux"] = json!({"resources": {"memory_limit_in_bytes": 32 << 20}});
        differences
    };
    // A shell that goes on when the kernel has killed its child.
    let child = "cat /dev/zero | tail; echo the child ended with $?; exit 3";
    for (differences, code, reason) in [
        (sh("exit 0"), 0, "Completed"),
        (sh("exit 3"), 3, "Error"),
        (sh("kill -KILL $$; sleep 1000 & kill -KILL $!; exit 137"), 137, "Error"),
        (limited(json!({"image": {"image": SCRATCH}, "args": ["memhog", "268435456"]})), 137, "OOMKilled"),
        (limited(sh(child)), 3, "OOMKilled"),
    ] {
        let container = pod.start(differences.clone());
        let ended = ending(&container, reason);
        assert_eq!(number(&ended, "/status/exitCode"), code, "{differences}");
        assert_eq!(text(&ended, "/status/message"), "", "{differences}");
        let times = ["createdAt", "startedAt", "finishedAt"]
            .map(|name| text(&ended["status"], &format!("/{name}")).to_owned());
        // containerd notes the start when the answer to it has come, which can be after the end.
        assert!(times[0] < times[1] && times[0] < times[2], "{times:?}");
    }
}

#[test]
fn a_container_that_cannot_run_says_which_command_and_why() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    for (command, cause) in [
        ("nope", "executable file not found in $PATH"),
        ("/nope", "no such file or directory"),
        ("/tmp", "is a directory"),
        ("/etc/passwd", "permission denied"),
    ] {
        let container = pod.create(json!({"command": [command]}));
        let said = run("crictl", &["start", &container.id]).stderr;
        let inspected = container.inspect();
        assert_eq!(text(&inspected, "/status/state"), "CONTAINER_EXITED");
        assert_eq!(text(&inspected, "/status/reason"), "StartError");
        assert_eq!(number(&inspected, "/status/exitCode"), 128);
        let message = text(&inspected, "/status/message");
        assert!(message.contains(&format!("exec: \"{command}\": ")) && message.contains(cause), "{message}");
        assert!(said.contains(cause), "{said}");
        crictl(&["rm", &container.id]);
    }
    assert!(pod.is_ready());
}
