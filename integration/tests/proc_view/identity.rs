//! Whose machine is shown to whom: the mount says it, and no name, namespace or cgroup of the reader's does.

use super::{DEBIAN, MI, asking, column, limited, limited_to, node, total_kib};
use ballast_integration::testbed::command::run;
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::json::merge;
use serde_json::{Value, json};

#[test]
fn a_first_process_with_blanks_and_brackets_in_its_name_has_an_uptime() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut differences = limited();
    let script = "cp /bin/sleep '/tmp/a (b) c 4 5' && exec '/tmp/a (b) c 4 5' 1000";
    differences["command"] = json!(["sh", "-c", script]);
    let container = pod.start(differences);
    container.exec(&["sh", "-c", "until grep -q '(b)' /proc/1/comm; do :; done"]);
    let script = "cut -d. -f1 /proc/uptime; ps -o etimes= -p 1; cut -d. -f1 /proc/uptime";
    let read = container.exec(&["sh", "-c", script]);
    let read: Vec<u64> = read.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [before, elapsed, after] = read[..] else { panic!("{read:?}") };
    assert!(before <= after && elapsed <= after && elapsed + 2 >= before, "{read:?}");
}

#[test]
fn containers_that_share_their_processes_see_each_their_own_machine() {
    let mut node = node();
    let shared = json!({"linux": {"security_context": {"namespace_options": {"pid": 0}}}});
    let with_shared_processes = |mut value: Value| {
        merge(&mut value, shared.clone());
        value
    };
    let pod = node.pod(with_shared_processes(asking()));
    let small = pod.start(with_shared_processes(limited_to(64 * MI)));
    let great = pod.start(with_shared_processes(limited_to(96 * MI)));
    assert_eq!((total_kib(&small), total_kib(&great)), (64 * 1024, 96 * 1024));
    // Each sees the other's processes, and through them the other's files.
    let others = format!("/proc/{}/root/proc/meminfo", inner_pid(&great));
    assert_eq!(column(&small.exec(&["cat", &others]), "MemTotal:", 1), 96 * 1024);
}

/// Its number in the innermost pid namespace.
fn inner_pid(container: &Container) -> String {
    container.process().status("NSpid").split_whitespace().next_back().unwrap().to_owned()
}

#[test]
fn limits_that_a_container_sets_itself_are_its_own_business() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let process = container.process();
    let own = process.cgroup();
    let nested = format!("{own}/nested");
    std::fs::create_dir(&nested).unwrap();
    std::fs::write(format!("{nested}/cgroup.procs"), process.pid.to_string()).unwrap();
    std::fs::write(format!("{own}/cgroup.subtree_control"), "+memory").unwrap();
    std::fs::write(format!("{nested}/memory.max"), (16 * MI).to_string()).unwrap();
    let enter = ["--mount", "--target", &process.pid.to_string(), "cat", "/proc/meminfo", "/proc/stat"];
    let read = run("nsenter", &enter).expect_success("nsenter");
    assert_eq!(column(&read, "MemTotal:", 1), 64 * 1024, "{read}");
    // And whoever comes from the node, from whatever cgroup, sees the container's machine by the container's path.
    let by_path = std::fs::read_to_string(format!("/proc/{}/root/proc/meminfo", process.pid)).unwrap();
    assert_eq!(column(&by_path, "MemTotal:", 1), 64 * 1024, "{by_path}");
}

/// Root of the pod is the node's user 100000.
fn in_user_namespace(mut value: Value) -> Value {
    let mapping = json!([{"host_id": 100_000, "container_id": 0, "length": 65_536}]);
    let options = json!({"pid": 1, "userns_options": {"mode": 0, "uids": mapping, "gids": mapping}});
    merge(&mut value, json!({"linux": {"security_context": {"namespace_options": options}}}));
    value
}

/// What kubelet masks unless a container's `procMount` is `Unmasked`.
fn masked(mut value: Value) -> Value {
    let paths = json!(["/proc/kcore", "/proc/keys", "/proc/timer_list"]);
    merge(&mut value, json!({"linux": {"security_context": {"masked_paths": paths}}}));
    value
}

#[test]
fn a_container_in_a_user_namespace_has_a_view() {
    let mut node = node();
    let pod = node.pod(in_user_namespace(json!({})));
    let container = pod.start(masked(in_user_namespace(limited())));
    let free = container.exec(&["free", "-k"]);
    assert_eq!(column(&free, "Mem:", 1), 64 * 1024, "{free}");
    let inside = container.exec(&["unshare", "--user", "cat", "/proc/meminfo"]);
    assert_eq!(column(&inside, "MemTotal:", 1), 64 * 1024, "in a user namespace below it as well");
}

#[test]
fn containers_that_nest_others_can_mount_a_proc_of_their_own() {
    let mut node = node();
    let nest =
        ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "ps", "-e"];
    // With `procMount: Unmasked`, which is for this, nothing may cover a file below /proc.
    let pod = node.pod(in_user_namespace(json!({})));
    let mut nesting = in_user_namespace(limited());
    // containerd's profile denies every mount.
    merge(&mut nesting, json!({"linux": {"security_context": {"apparmor": {"profile_type": 1}}}}));
    let container = pod.start(nesting);
    let listed = container.exec(&nest);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(!container.process().read("mountinfo").contains(" fuse.ballast "));
    drop(pod);
    // Whoever asks for a view as well gets it.
    let mut asked = in_user_namespace(json!({}));
    merge(&mut asked, asking());
    let pod = node.pod(asked);
    assert_eq!(total_kib(&pod.start(in_user_namespace(limited()))), 64 * 1024);
}

#[test]
fn a_privileged_container_mounts_proc_anew_and_keeps_its_view() {
    let mut node = node();
    let privileged = json!({"linux": {"security_context": {"privileged": true}}});
    let mut asked = asking();
    merge(&mut asked, privileged.clone());
    let pod = node.pod(asked);
    let mut differences = limited();
    merge(&mut differences, privileged);
    let container = pod.start(differences);
    let nested =
        container.exec(&["unshare", "--mount", "--pid", "--fork", "--mount-proc", "cat", "/proc/meminfo"]);
    let node_meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(
        column(&nested, "MemTotal:", 1),
        column(&node_meminfo, "MemTotal:", 1),
        "it is the kernel's own"
    );
    assert_eq!(total_kib(&container), 64 * 1024);
}

#[test]
fn an_unprivileged_user_reads_the_view_and_nobody_writes_it() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["linux"]["security_context"] = json!({"run_as_user": {"value": 65_534}});
    let container = pod.start(differences);
    assert_eq!(total_kib(&container), 64 * 1024);
    for path in ["/proc/meminfo", "/proc/cpuinfo", "/sys/devices/system/cpu/online"] {
        let outcome = pod.start(limited()).try_exec(&["sh", "-c", &format!("echo 1 > {path}")]);
        assert_ne!(outcome.code, Some(0), "{path}");
    }
    let unlimited = pod.start(json!({"image": {"image": DEBIAN}, "command": ["sleep", "1000"]}));
    let node_meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(
        total_kib(&unlimited),
        column(&node_meminfo, "MemTotal:", 1),
        "without a limit the node is the limit"
    );
}
