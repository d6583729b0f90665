//! What a container can and cannot reach.

use std::fs;
use std::path::Path;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::Process;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

/// CRI's `NamespaceMode`.
const POD: u8 = 0;
const CONTAINER: u8 = 1;
const NODE: u8 = 2;

fn security(context: Value) -> Value {
    json!({"linux": {"security_context": context}})
}

fn with(mut base: Value, more: Value) -> Value {
    ballast_integration::testbed::json::merge(&mut base, more);
    base
}

fn probe(words: &[&str]) -> Value {
    json!({"image": {"image": SCRATCH}, "args": words})
}

/// What the container's command printed although it could fail.
#[track_caller]
fn attempt(container: &Container, script: &str) -> String {
    let outcome = container.try_exec(&["sh", "-c", script]);
    outcome.stdout + &outcome.stderr
}

fn node_itself() -> Process {
    Process::open(1).unwrap()
}

#[test]
fn a_container_has_its_standard_descriptors_and_no_others() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let printed = pod.start(probe(&["fds"])).output();
    let numbers: Vec<&str> = printed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{printed}");
    let idle = pod.start(probe(&["sleep"]));
    let printed = idle.exec(&["/probe", "fds"]);
    let numbers: Vec<&str> = printed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "2"], "exec: {printed}");
}

#[test]
fn the_shims_program_cannot_be_written_from_a_container() {
    let mut node = Node::take();
    let options = json!({"privileged": true, "namespace_options": {"pid": NODE}});
    let pod = node.pod(security(options.clone()));
    let container = pod.start(security(options));
    let shim = pod.shims()[0];
    let program = fs::read_link(format!("/proc/{shim}/exe")).unwrap();
    let before = fs::metadata(format!("/proc/{shim}/exe")).unwrap().len();
    let said = attempt(&container, &format!("echo overwritten > /proc/{shim}/exe && echo IT WORKED"));
    assert!(!said.contains("IT WORKED"), "{said}");
    assert_eq!(fs::metadata(format!("/proc/{shim}/exe")).unwrap().len(), before, "{}", program.display());
    assert_eq!(container.exec(&["echo", "alive"]), "alive");
}

#[test]
fn a_container_cannot_signal_or_see_other_processes() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let seen = container.exec(&["sh", "-c", "ls -d /proc/[0-9]* | wc -l"]);
    assert!(seen.parse::<u32>().unwrap() <= 4, "{seen} processes are visible");
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_cannot_be_written() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(security(json!({
        "masked_paths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/no/such/path"],
        "readonly_paths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/no/such/path"],
    })));
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list"] {
        if Path::new(path).exists() {
            assert_eq!(container.exec(&["sh", "-c", &format!("head -c 1 {path} | wc -c")]), "0", "{path}");
        }
    }
    for path in ["/proc/scsi", "/sys/firmware"] {
        if Path::new(path).exists() {
            assert_eq!(container.exec(&["ls", path]), "", "{path}");
        }
    }
    let said = attempt(&container, "echo 1 > /proc/sys/kernel/panic && echo IT WORKED");
    assert!(said.contains("Read-only file system"), "{said}");
    let said = attempt(&container, "echo h > /proc/sysrq-trigger && echo IT WORKED");
    assert!(!said.contains("IT WORKED"), "{said}");
    let said = attempt(&container, "mkdir /sys/fs/cgroup/below && echo IT WORKED");
    assert!(said.contains("Read-only file system"), "{said}");
}

#[test]
fn devices_that_were_not_given_cannot_be_opened() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(security(json!({"capabilities": {"add_capabilities": ["MKNOD"]}})));
    // 98:0 is the node's own disk, a user-mode Linux block device; 1:1 is /dev/mem.
    for (kind, numbers) in [("b", "98 0"), ("c", "1 1")] {
        let said = attempt(
            &container,
            &format!(
                "mknod /tmp/device-{kind} {kind} {numbers} && head -c 1 /tmp/device-{kind} && echo IT WORKED"
            ),
        );
        assert!(said.contains("Operation not permitted"), "{said}");
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty", "ptmx"] {
        assert_eq!(
            container.exec(&["sh", "-c", &format!("test -c /dev/{device} && echo ok")]),
            "ok",
            "{device}"
        );
    }
    assert_eq!(container.exec(&["sh", "-c", "head -c 3 /dev/zero | wc -c; echo x > /dev/null"]), "3");
}

#[test]
fn a_device_that_was_given_can_be_opened() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let devices = json!([{"host_path": "/dev/fuse", "container_path": "/dev/given", "permissions": "rw"}]);
    let container = pod.start(json!({"devices": devices}));
    assert_eq!(container.exec(&["sh", "-c", "exec 3<>/dev/given && echo opened"]), "opened");
}

#[test]
fn a_user_without_privileges_can_reopen_the_standard_streams() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let user = security(json!({"run_as_user": {"value": 1234}}));
    let script = "echo to stdout > /dev/stdout && echo to stderr > /dev/stderr";
    let container = pod.start(with(json!({"command": ["sh", "-c", script]}), user));
    let printed = container.output();
    assert!(printed.contains("to stdout") && printed.contains("to stderr"), "{printed}");
}

#[test]
fn limits_are_in_the_cgroup_and_an_update_changes_them() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let resources = json!({
        "memory_limit_in_bytes": 64 << 20, "cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 2048,
        "oom_score_adj": 345,
    });
    let container = pod.start(json!({"linux": {"resources": resources}}));
    assert_eq!(container.cgroup_file("memory.max"), (64 << 20).to_string());
    assert_eq!(container.cgroup_file("cpu.max"), "50000 100000");
    let weight: u32 = container.cgroup_file("cpu.weight").parse().unwrap();
    assert_ne!(weight, 100, "2048 shares are more than the default");
    assert_eq!(container.process().read("oom_score_adj").trim(), "345");
    crictl(&[
        "update",
        "--memory",
        &(96 << 20).to_string(),
        "--cpu-quota",
        "20000",
        "--cpu-period",
        "50000",
        &container.id,
    ]);
    assert_eq!(container.cgroup_file("memory.max"), (96 << 20).to_string());
    assert_eq!(container.cgroup_file("cpu.max"), "20000 50000");
    assert_eq!(container.cgroup_file("cpu.weight"), weight.to_string(), "was not updated");
}

#[test]
fn cgroup_files_that_kubelet_names_are_written() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let unified = json!({"memory.low": "8388608", "memory.high": "50331648", "pids.max": "77"});
    let container = pod.start(json!({"linux": {"resources": {"unified": unified}}}));
    assert_eq!(container.cgroup_file("memory.low"), "8388608");
    assert_eq!(container.cgroup_file("memory.high"), "50331648");
    assert_eq!(container.cgroup_file("pids.max"), "77");
}

#[test]
fn a_limit_on_processes_holds() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let limited = json!({"linux": {"resources": {"unified": {"pids.max": "20"}}}});
    let container = pod.start(with(probe(&["fork", "100"]), limited));
    container.wait_for_log("started 19");
}

#[test]
fn a_read_only_root_file_system_cannot_be_written() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(security(json!({"readonly_rootfs": true})));
    assert!(attempt(&container, "touch /tmp/file").contains("Read-only file system"));
    assert_eq!(container.exec(&["sh", "-c", "echo fine > /dev/shm/file && cat /dev/shm/file"]), "fine");
}

#[test]
fn capabilities_are_those_that_were_asked_for() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let none = pod.start(security(json!({"capabilities": {"drop_capabilities": ["ALL"]}})));
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(none.process().status(set), "0000000000000000", "{set}");
    }
    let more =
        json!({"capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_BIND_SERVICE"]}});
    let one = pod.start(security(more));
    assert_eq!(one.process().status("CapEff"), "0000000000000400");
    assert_eq!(one.exec(&["grep", "CapEff", "/proc/self/status"]), "CapEff:\t0000000000000400");
}

#[test]
fn no_new_privileges_reaches_container_and_exec() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(security(json!({"no_new_privs": true})));
    assert_eq!(container.process().status("NoNewPrivs"), "1");
    assert_eq!(container.exec(&["grep", "NoNewPrivs", "/proc/self/status"]), "NoNewPrivs:\t1");
}

#[test]
fn a_seccomp_profile_holds_in_container_and_exec() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let profile = pod.directory.join("profile.seccomp");
    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95});
    fs::write(&profile, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}).to_string()).unwrap();
    let container = pod.start(security(json!({"seccomp": {"profile_type": 2, "localhost_ref": profile}})));
    assert_eq!(container.process().status("Seccomp"), "2");
    // 95 is EOPNOTSUPP: nothing but the profile says that about mkdir.
    assert!(attempt(&container, "mkdir /tmp/directory").contains("not supported"));
    let default = pod.start(security(json!({"seccomp": {"profile_type": 0}})));
    assert_eq!(default.process().status("Seccomp"), "2");
    assert_eq!(default.exec(&["grep", "Seccomp:", "/proc/self/status"]), "Seccomp:\t2");
}

#[test]
fn an_apparmor_profile_holds_in_container_and_exec() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let profile = pod.directory.join("profile.apparmor");
    let name = "ballast-test-no-write";
    let rules = "file, umount, signal, deny /tmp/** w,";
    fs::write(&profile, format!("profile {name} flags=(attach_disconnected) {{ {rules} }}\n")).unwrap();
    let parser = |option: &str| run("apparmor_parser", &[option, "-K", profile.to_str().unwrap()]);
    parser("-r").expect_success("load the profile");
    let container = pod.start(security(json!({"apparmor": {"profile_type": 2, "localhost_ref": name}})));
    assert_eq!(container.process().read("attr/apparmor/current").trim(), format!("{name} (enforce)"));
    assert!(attempt(&container, "touch /tmp/file").contains("Permission denied"));
    assert_eq!(attempt(&container, "touch /var/tmp/file"), "");
    crictl(&["rm", "--force", &container.id]);
    parser("-R").expect_success("unload the profile");
}

/// A pod whose root is the node's user 100000.
fn mapped_pod(node: &mut Node) -> (Pod, Value) {
    let mapping = json!([{"host_id": 100_000, "container_id": 0, "length": 65_536}]);
    let options = json!({"namespace_options": {
        "pid": CONTAINER, "userns_options": {"mode": POD, "uids": mapping, "gids": mapping},
    }});
    (node.pod(security(options.clone())), options)
}

#[test]
fn a_user_namespace_makes_root_nobody_on_the_node() {
    let mut node = Node::take();
    let (pod, options) = mapped_pod(&mut node);
    let container = pod.start(security(options));
    let process = container.process();
    assert_eq!(process.read("uid_map").split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    assert_eq!(process.status("Uid").split_whitespace().next(), Some("100000"));
    assert_ne!(process.namespace("user"), node_itself().namespace("user"));
    assert_eq!(process.namespace("user"), pod.process().namespace("user"));
    let entered = container.exec(&["cat", "/proc/self/uid_map"]);
    assert_eq!(
        entered.split_whitespace().collect::<Vec<_>>(),
        ["0", "100000", "65536"],
        "an exec is inside too"
    );
    assert_eq!(container.exec(&["id", "-u"]), "0");
    assert_eq!(
        container.exec(&["stat", "-c", "%u", "/etc/passwd"]),
        "0",
        "the image belongs to the container's root"
    );
    assert_eq!(container.exec(&["sh", "-c", "touch /tmp/mine && stat -c %u /tmp/mine"]), "0");
    assert!(attempt(&container, "mount -t proc proc /mnt; mknod /tmp/null c 1 3").contains("not permitted"));
    assert_eq!(container.exec(&["sh", "-c", "echo x > /dev/null; hostname"]), "a-pod");
}

#[test]
fn without_a_user_namespace_ids_are_the_nodes() {
    let mut node = Node::take();
    let options = json!({"namespace_options": {"pid": CONTAINER, "userns_options": {"mode": NODE}}});
    let pod = node.pod(security(options.clone()));
    let container = pod.start(security(options));
    assert_eq!(container.process().namespace("user"), node_itself().namespace("user"));
}

#[test]
fn sysctls_are_the_pods_and_not_the_nodes() {
    let mut node = Node::take();
    let before = fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap();
    let sysctls = json!({"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "20000 30000"});
    let pod = node.pod(json!({"linux": {"sysctls": sysctls}}));
    let container = pod.start(json!({}));
    assert_eq!(container.exec(&["cat", "/proc/sys/kernel/shm_rmid_forced"]), "1");
    assert_eq!(container.exec(&["cat", "/proc/sys/net/ipv4/ip_local_port_range"]), "20000\t30000");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap(), before);
}

#[test]
fn a_privileged_container_may_do_what_the_node_may() {
    let mut node = Node::take();
    let pod = node.pod(security(json!({"privileged": true})));
    let container = pod.start(security(json!({"privileged": true})));
    assert_eq!(container.process().status("CapEff"), node_itself().status("CapEff"));
    assert_eq!(container.process().status("Seccomp"), "0");
    assert_eq!(
        container.exec(&["sh", "-c", "mount -t tmpfs tmpfs /mnt && umount /mnt && echo mounted"]),
        "mounted"
    );
    assert_eq!(container.exec(&["sh", "-c", "test -b /dev/ubda && head -c 1 /dev/ubda | wc -c"]), "1");
}

#[test]
fn a_pod_can_live_in_the_nodes_namespaces() {
    let mut node = Node::take();
    let options = json!({"namespace_options": {"network": NODE, "pid": NODE, "ipc": NODE}});
    let pod = node.pod(with(security(options.clone()), json!({"hostname": ""})));
    let container = pod.start(security(options));
    let process = container.process();
    for kind in ["net", "pid", "ipc", "uts"] {
        assert_eq!(process.namespace(kind), node_itself().namespace(kind), "{kind}");
    }
    assert_ne!(process.namespace("mnt"), node_itself().namespace("mnt"));
    assert_eq!(container.exec(&["sh", "-c", "cat /proc/1/comm"]), node_itself().read("comm").trim());
    assert!(container.exec(&["ls", "/sys/class/net"]).contains("cni0"));
}

/// A directory with a file system of its own below it, for one test.
struct Tree(std::path::PathBuf);

impl Tree {
    fn new(pod: &Pod) -> Self {
        let root = pod.directory.join("tree");
        fs::create_dir_all(root.join("below")).unwrap();
        mount("tmpfs", root.join("below"), "tmpfs", MountFlags::empty(), None).unwrap();
        Self(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        unmount(self.0.join("below"), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_read_only_mount_can_be_recursive_or_not() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let tree = Tree::new(&pod);
    let mut mount = json!({"host_path": tree.0, "container_path": "/tree", "readonly": true});
    let plain = pod.start(json!({"mounts": [mount]}));
    assert!(attempt(&plain, "touch /tree/file").contains("Read-only file system"));
    assert_eq!(attempt(&plain, "touch /tree/below/file"), "", "only the mount itself is read-only");
    if crictl(&["version"]).contains("RuntimeVersion:  v1.") {
        return; // containerd's CRI knows the request since 2.0.
    }
    mount["recursive_read_only"] = json!(true);
    let recursive = pod.start(json!({"mounts": [mount]}));
    assert!(attempt(&recursive, "touch /tree/file").contains("Read-only file system"));
    assert!(attempt(&recursive, "touch /tree/below/file").contains("Read-only file system"));
}

#[test]
fn mounts_made_later_propagate_as_asked() {
    let mut node = Node::take();
    let pod = node.pod(security(json!({"privileged": true})));
    let shared = pod.directory.join("shared");
    fs::create_dir_all(shared.join("late")).unwrap();
    let start = |propagation: u8| {
        pod.start(with(
            security(json!({"privileged": true})),
            json!({"mounts": [{"host_path": shared, "container_path": "/shared", "propagation": propagation}]}),
        ))
    };
    let (private, slave, both) = (start(0), start(1), start(2));
    mount("tmpfs", shared.join("late"), "tmpfs", MountFlags::empty(), None).unwrap();
    let sees =
        |container: &Container| attempt(container, "grep -c ' /shared/late ' /proc/mounts").trim() == "1";
    let seen = [&private, &slave, &both].map(sees);
    unmount(shared.join("late"), UnmountFlags::DETACH).unwrap();
    assert_eq!(seen, [false, true, true]);
    both.exec(&["mount", "-t", "tmpfs", "tmpfs", "/shared/late"]);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let arrived = table.contains(shared.join("late").to_str().unwrap());
    both.exec(&["umount", "/shared/late"]);
    assert!(arrived, "a bidirectional mount reaches the node");
}

#[test]
fn volumes_are_written_through_with_the_containers_owner() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let volume = pod.directory.join("volume");
    fs::create_dir(&volume).unwrap();
    let mounts = json!([{"host_path": volume, "container_path": "/data"}]);
    let container = pod.start(json!({"mounts": mounts}));
    container.exec(&["sh", "-c", "echo written > /data/file"]);
    assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "written\n");
}

#[test]
fn a_container_gets_no_mount_of_the_node() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let table = container.process().read("mountinfo");
    let targets: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(targets.iter().filter(|target| **target == "/").count(), 1, "{table}");
    for foreign in ["/run", "/opt", "/srv", "/work", "/oldroot"] {
        assert!(!targets.iter().any(|target| target.starts_with(foreign)), "{foreign} in {table}");
    }
}
