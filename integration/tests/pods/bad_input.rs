//! What cannot work is refused with its reason, and what was begun is undone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ballast_integration::testbed::command::{Outcome, run};
use ballast_integration::testbed::container::{BUSYBOX, SCRATCH};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::scratch::Scratch;
use serde_json::{Value, json};

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "{word:?} is not in: {said}");
    }
}

/// A root file system with the probe in it.
fn rootfs(scratch: &Scratch, node: &mut Node) -> PathBuf {
    let rootfs = scratch.path("rootfs");
    fs::create_dir(&rootfs).unwrap();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"image": {"image": SCRATCH}, "args": ["sleep"]}));
    fs::copy(format!("/proc/{}/root/probe", container.process().pid), rootfs.join("probe")).unwrap();
    rootfs
}

#[track_caller]
fn assert_refused(outcome: &Outcome) -> &str {
    assert_ne!(outcome.code, Some(0), "it ran: {}", outcome.stdout);
    &outcome.stderr
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let said = pod.refusal(json!({"command": ["/no/such/command"]}));
    assert_says(&said, &["/no/such/command", "no such file or directory"]);
    let said = pod.refusal(json!({"command": ["no-such-command"]}));
    assert_says(&said, &["no-such-command", "not found"]);
}

#[test]
fn a_command_that_may_not_be_executed_is_named() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    assert_says(&pod.refusal(json!({"command": ["/etc/passwd"]})), &["/etc/passwd", "permission denied"]);
}

#[test]
fn a_working_directory_that_cannot_be_made_is_named() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let said = pod.refusal(json!({"working_dir": "/etc/passwd/below"}));
    assert_says(&said, &["/etc/passwd", "not a directory"]);
}

#[test]
fn a_mount_below_a_file_is_refused_by_name() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mounts = json!([{"host_path": "/tmp", "container_path": "/etc/passwd/below"}]);
    assert_says(&pod.refusal(json!({"mounts": mounts})), &["/etc/passwd/below", "not a directory"]);
}

#[test]
fn a_missing_mount_source_is_named() {
    let mut node = Node::take();
    node.pull(BUSYBOX);
    let mount = "type=bind,src=/no/such/source,dst=/mnt,options=rbind:rw";
    let outcome = node.ctr_run(&["--mount", mount, BUSYBOX, "missing-source", "true"]);
    assert_says(assert_refused(&outcome), &["/no/such/source", "no such file or directory"]);
}

#[test]
fn an_unknown_mount_type_is_named() {
    let mut node = Node::take();
    node.pull(BUSYBOX);
    let outcome =
        node.ctr_run(&["--mount", "type=nonsensefs,src=none,dst=/mnt", BUSYBOX, "unknown-type", "true"]);
    assert_says(assert_refused(&outcome), &["nonsensefs", "/mnt"]);
}

fn with_seccomp_profile(profile: &Path) -> Value {
    json!({"linux": {"security_context": {
        "seccomp": {"profile_type": 2, "localhost_ref": profile},
    }}})
}

#[test]
fn a_seccomp_action_that_does_not_exist_is_named() {
    let mut node = Node::take();
    let scratch = Scratch::new("seccomp-action");
    let pod = node.pod(json!({}));
    let profile = scratch.path("profile.json");
    fs::write(&profile, json!({"defaultAction": "SCMP_ACT_NONSENSE", "syscalls": []}).to_string()).unwrap();
    assert_says(&pod.refusal(with_seccomp_profile(&profile)), &["SCMP_ACT_NONSENSE"]);
}

#[test]
fn a_seccomp_operator_that_does_not_exist_is_named() {
    let mut node = Node::take();
    let scratch = Scratch::new("seccomp-operator");
    let pod = node.pod(json!({}));
    let profile = scratch.path("profile.json");
    let rule = json!({
        "names": ["socket"], "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NONSENSE"}],
    });
    fs::write(&profile, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).to_string()).unwrap();
    assert_says(&pod.refusal(with_seccomp_profile(&profile)), &["SCMP_CMP_NONSENSE"]);
}

#[test]
fn an_apparmor_profile_that_is_not_loaded_is_named() {
    let mut node = Node::take();
    node.pull(BUSYBOX);
    let outcome =
        node.ctr_run(&["--apparmor-profile", "no-such-profile", BUSYBOX, "unknown-profile", "true"]);
    assert_says(assert_refused(&outcome), &["apparmor", "no-such-profile"]);
}

#[test]
fn a_sysctl_that_does_not_exist_is_named() {
    let mut node = Node::take();
    let said = node.try_pod(json!({"linux": {"sysctls": {"net.ipv4.no_such_thing": "1"}}})).unwrap_err();
    assert_says(&said, &["no_such_thing"]);
}

#[test]
fn a_sysctl_of_the_nodes_own_network_is_refused() {
    let mut node = Node::take();
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let said = node
        .try_pod(json!({
            "hostname": "",
            "linux": {
                "sysctls": {"net.ipv4.ip_default_ttl": "77"},
                "security_context": {"namespace_options": {"network": 2}},
            },
        }))
        .unwrap_err();
    assert_says(&said, &["net.ipv4.ip_default_ttl"]);
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap(), before);
}

#[test]
fn a_root_file_system_whose_proc_is_a_link_is_refused() {
    let mut node = Node::take();
    let scratch = Scratch::new("proc-link");
    let rootfs = rootfs(&scratch, &mut node);
    fs::create_dir(scratch.path("elsewhere")).unwrap();
    symlink(format!("../../..{}", scratch.path("elsewhere").display()), rootfs.join("proc")).unwrap();
    let outcome =
        node.ctr_run(&["--rootfs", rootfs.to_str().unwrap(), "proc-link", "/probe", "list", "/proc"]);
    assert_says(assert_refused(&outcome), &["/proc"]);
    assert_eq!(fs::read_dir(scratch.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_link_in_the_root_file_system_leads_no_mount_outside() {
    let mut node = Node::take();
    let scratch = Scratch::new("dev-link");
    let rootfs = rootfs(&scratch, &mut node);
    let outside = scratch.path("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["dev", "data"] {
        symlink(format!("../../../../../../../..{}", outside.display()), rootfs.join(name)).unwrap();
    }
    let mount = "type=bind,src=/tmp,dst=/data/below,options=rbind:rw";
    let rootfs = rootfs.display().to_string();
    let outcome =
        node.ctr_run(&["--mount", mount, "--rootfs", &rootfs, "dev-link", "/probe", "list", "/dev"]);
    // Refusing and staying inside are both safe; a failure must say where.
    if outcome.code == Some(0) {
        assert!(outcome.stdout.contains("null"), "{}", outcome.stdout);
    } else {
        assert_says(&outcome.stderr, &["/d"]);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{outcome:?}");
}

#[test]
fn a_cgroup_path_stays_below_the_root_of_cgroups() {
    let mut node = Node::take();
    node.pull(BUSYBOX);
    let cgroup = "/../../../ballast-escape/../../ballast-escape";
    let outcome = node.ctr_run(&["--cgroup", cgroup, BUSYBOX, "escape", "cat", "/proc/self/cgroup"]);
    assert!(!Path::new("/ballast-escape").exists());
    assert!(!Path::new("/sys/fs/ballast-escape").exists());
    if outcome.code != Some(0) {
        assert_says(&outcome.stderr, &["cgroup", ".."]);
    }
    // Left when the container ran in it: its parent is whoever named it.
    drop(fs::remove_dir("/sys/fs/cgroup/ballast-escape"));
}

#[test]
fn a_truncated_configuration_starts_no_shim() {
    let mut node = Node::take();
    let spec = run("ctr", &["oci", "spec"]).expect_success("ctr oci spec");
    let bundle = Scratch::new("truncated");
    fs::write(bundle.path("config.json"), &spec[..spec.len() / 2]).unwrap();
    node.pull(BUSYBOX);
    let outcome: Outcome = Command::new(node.shim_program())
        .args(["-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock"])
        .args(["-publish-binary", "/bin/false", "-id", "truncated", "start"])
        .current_dir(bundle.directory())
        .env("TTRPC_ADDRESS", "/run/containerd/containerd.sock.ttrpc")
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into();
    assert_ne!(outcome.code, Some(0), "{}", outcome.stdout);
    assert!(!(outcome.stderr + &outcome.stdout).is_empty(), "no reason given");
}

#[test]
fn a_configuration_of_ten_mebibytes_works_or_is_refused_by_its_size() {
    let mut node = Node::take();
    let scratch = Scratch::new("huge");
    let rootfs = rootfs(&scratch, &mut node);
    fs::create_dir(rootfs.join("proc")).unwrap();
    let mut spec: Value =
        serde_json::from_str(&run("ctr", &["oci", "spec"]).expect_success("ctr oci spec")).unwrap();
    spec["root"] = json!({"path": rootfs});
    spec["process"]["args"] = json!(["/probe", "echo", "it", "ran"]);
    spec["process"]["terminal"] = json!(false);
    spec["annotations"] = json!({"huge": "x".repeat(10 << 20)});
    let config = scratch.path("config.json");
    fs::write(&config, spec.to_string()).unwrap();
    let outcome = node.ctr_run(&["--config", config.to_str().unwrap(), "huge"]);
    if outcome.code == Some(0) {
        assert_eq!(outcome.stdout, "it ran\n");
    } else {
        assert_says(&outcome.stderr, &["config.json"]);
    }
}
