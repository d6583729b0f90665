//! What every container has.

use super::Test;
use super::bundle::{Bundle, Streams, wait};
use ballast_runtime::{ProcessIo, RootfsMount, Runtime};
use serde_json::json;
use std::io::{Read, Write};
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("a_script_runs_and_its_exit_code_and_output_come_back", runs),
    ("a_process_that_a_signal_ends_has_128_and_the_signal_as_its_status", ended_by_signal),
    ("the_container_has_namespaces_of_its_own_and_its_names", namespaces),
    ("nothing_of_the_shims_descriptors_reaches_the_container", descriptors),
    ("user_groups_capabilities_and_home_are_the_specs", identity),
    ("the_standard_devices_work_and_others_cannot_be_opened", devices),
    ("masked_paths_are_empty_and_readonly_paths_refuse_writes", protection),
    ("a_read_only_volume_cannot_be_written_and_a_file_can_be_bound_on_a_file", volumes),
    ("an_exec_joins_the_container_and_returns_its_own_status", exec),
    ("an_exec_follows_init_out_of_a_cgroup_whose_children_have_controllers", exec_beside_init),
    ("a_terminal_is_the_controlling_one_and_dev_console", terminal),
    ("a_user_namespace_maps_root_to_the_hosts_ids", user_namespace),
    ("the_files_of_an_image_belong_to_the_user_namespaces_root", mapped_image),
    ("a_second_container_joins_the_user_and_pid_namespaces_of_the_first", joined_namespaces),
    ("a_time_namespace_has_its_offsets_and_leaves_the_next_container_alone", time_namespace),
    ("a_sysctl_of_the_containers_network_is_set", sysctl),
    ("a_seccomp_profile_applies_to_init_and_exec", seccomp),
    ("hooks_run_at_their_points_in_order", hooks),
];

fn runs(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("echo out; echo err >&2; exit 7").output(runtime);
    assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (7, "out\n", "err\n"));
}

fn ended_by_signal(runtime: &Arc<Runtime>) {
    assert_eq!(Bundle::new("sh -c 'kill -9 $$'; exit $?").output(runtime).status, 137);
}

fn namespaces(runtime: &Arc<Runtime>) {
    let script = "hostname; echo $$; ls /sys/class/net; grep ^0 /proc/self/cgroup; echo /proc/[0-9]*";
    assert_eq!(Bundle::new(script).output(runtime).stdout, "testhost\n1\nlo\n0::/\n/proc/1\n");
}

fn descriptors(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("ls /proc/self/fd").output(runtime);
    // 3 is the directory that ls reads.
    assert_eq!(outcome.stdout, "0\n1\n2\n3\n", "{outcome:?}");
}

fn identity(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new(
        "id -u; id -g; id -G; echo $HOME; grep -E 'Cap(Prm|Bnd|Amb)|NoNew' /proc/self/status; umask",
    )
    .set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}))
    .set("/process/capabilities", json!({"bounding": ["CAP_KILL"]}))
    .output(runtime);
    assert_eq!(
        outcome.stdout,
        "1000\n1000\n1000 5 6\n/home/web\nCapPrm:\t0000000000000000\nCapBnd:\t0000000000000020\n\
         CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n0022\n",
        "{outcome:?}"
    );
}

fn devices(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new(
        "head -c3 /dev/zero | wc -c; echo x > /dev/null && echo null; readlink /dev/fd /dev/ptmx; \
         mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
    )
    .output(runtime);
    assert_eq!(outcome.stdout, "3\nnull\n/proc/self/fd\npts/ptmx\n");
    assert!(outcome.stderr.contains("Operation not permitted"), "{outcome:?}");
}

fn protection(runtime: &Arc<Runtime>) {
    let outcome =
        Bundle::new("wc -c < /proc/timer_list; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/panic")
            .output(runtime);
    assert_eq!(outcome.stdout, "0\n0\n", "{outcome:?}");
    assert!(outcome.stderr.contains("Read-only file system"), "{outcome:?}");
}

fn volumes(runtime: &Arc<Runtime>) {
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("file"), "content\n").unwrap();
    let outcome = Bundle::new("cat /etc/one/two/file; cat /data/file; echo x > /data/new; echo y > /rw/new; cat /rw/new")
        .add_mount(json!({"destination": "/data", "type": "bind", "source": volume.path(), "options": ["rbind", "rprivate", "ro"]}))
        .add_mount(json!({"destination": "/rw", "type": "bind", "source": volume.path(), "options": ["rbind", "rprivate"]}))
        .add_mount(json!({"destination": "/etc/one/two/file", "type": "bind", "source": volume.path().join("file"), "options": ["bind"]}))
        .output(runtime);
    assert_eq!(outcome.stdout, "content\ncontent\ny\n");
    assert!(outcome.stderr.contains("Read-only file system"), "{outcome:?}");
}

fn exec(runtime: &Arc<Runtime>) {
    let bundle = Bundle::idle();
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    let process = serde_json::from_value(json!({
        "user": {"uid": 1000, "gid": 1000}, "args": ["sh", "-c", "hostname; id -u; pwd; cat /proc/1/comm; grep ^0 /proc/self/cgroup; ls /proc/self/fd | wc -l; exit 3"],
        "env": ["PATH=/usr/bin"], "cwd": "/tmp"
    }))
    .unwrap();
    let streams = Streams::new();
    let exec = container.exec(&process, streams.io()).unwrap();
    exec.start().unwrap();
    let outcome = streams.wait(&exec);
    assert_eq!(
        (outcome.status, &*outcome.stdout),
        (3, "testhost\n1000\n/tmp\nsleep\n0::/\n4\n"),
        "{outcome:?}"
    );
    assert_eq!(container.process_ids().unwrap(), [init.pid()]);
    container.signal_all(9).unwrap();
    assert_eq!(wait(&init), 137);
    container.delete().unwrap();
    container.delete().expect("deleting twice is fine");
    bundle.assert_nothing_left();
}

/// What systemd and dockerd do in a container. Without controllers the kernel does not mind processes beside children.
fn exec_beside_init(runtime: &Arc<Runtime>) {
    let script = "cd /cgroup && mkdir inner && echo 0 > inner/cgroup.procs && for one in $(cat cgroup.controllers); \
                  do echo +$one > cgroup.subtree_control || exit 1; done; cat cgroup.subtree_control; exec sleep 1000 >/dev/null 2>&1";
    let bundle = Bundle::new(script).add_mount(json!({
        "destination": "/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev"],
    }));
    let streams = Streams::new();
    let (container, init) = bundle.create(runtime, streams.io()).unwrap();
    init.start().unwrap();
    let (enabled, complaint) = streams.until_closed();
    assert_eq!(complaint, "");
    let process = serde_json::from_value(json!({
        "user": {"uid": 0, "gid": 0}, "args": ["grep", "^0", "/proc/self/cgroup"], "env": ["PATH=/usr/bin"], "cwd": "/"
    }));
    let streams = Streams::new();
    let exec = container.exec(&process.unwrap(), streams.io()).unwrap();
    exec.start().unwrap();
    let place = if enabled.trim().is_empty() { "0::/\n" } else { "0::/inner\n" };
    let outcome = streams.wait(&exec);
    assert_eq!((outcome.status, &*outcome.stdout), (0, place), "{enabled:?} {outcome:?}");
    container.signal_all(9).unwrap();
    assert_eq!(wait(&init), 137);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}

fn terminal(runtime: &Arc<Runtime>) {
    let bundle =
        Bundle::new("tty; stty size; read line; echo got $line; test -c /dev/console && echo console")
            .set("/process/consoleSize", json!({"height": 30, "width": 100}));
    let (container, process) = bundle.create(runtime, ProcessIo::Terminal { size: None }).unwrap();
    let mut master = std::fs::File::from(process.take_terminal().expect("a terminal"));
    process.start().unwrap();
    master.write_all(b"hello\n").unwrap();
    let mut text = Vec::new();
    let end = master.read_to_end(&mut text).expect_err("a pty ends with EIO");
    assert_eq!(end.raw_os_error(), Some(5));
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    assert!(
        ["/dev/pts/0\n", "30 100\n", "got hello\nconsole\n"].iter().all(|line| text.contains(line)),
        "{text}"
    );
    assert_eq!(wait(&process), 0);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}

/// A bundle whose files belong to the root of a user namespace with these mappings.
fn mapped_bundle(script: &str) -> Bundle {
    let bundle = Bundle::new(script);
    let rootfs = bundle.rootfs();
    for path in
        [rootfs.clone(), rootfs.join("tmp"), rootfs.join("dev"), rootfs.join("proc"), rootfs.join("sys")]
    {
        std::os::unix::fs::chown(&path, Some(100_000), Some(100_000)).unwrap();
    }
    let traversable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bundle.path(), traversable).unwrap();
    let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", mappings.clone()).set("/linux/gidMappings", mappings)
}

fn user_namespace(runtime: &Arc<Runtime>) {
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /tmp/x; echo ok > /dev/null && echo null";
    let mut bundle = mapped_bundle(script);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let outcome = bundle.output(runtime);
    assert_eq!(outcome.stdout, "0\n 0 100000 65536\nnull\n", "{outcome:?}");
    let made = std::fs::metadata(bundle.rootfs().join("tmp/x")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 100_000);
}

fn mapped_image(runtime: &Arc<Runtime>) {
    let mut bundle = mapped_bundle("stat -c '%u %n' /etc/passwd /etc /; touch /new; stat -c %u /new");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    // As containerd's overlay snapshotter does it: the image as it is on disk, the writable layer chowned.
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| bundle.path().join(name));
    std::fs::rename(bundle.rootfs(), &lower).unwrap();
    for directory in ["", "tmp", "dev", "proc", "sys"] {
        std::os::unix::fs::chown(lower.join(directory), Some(0), Some(0)).unwrap();
    }
    for directory in [&upper, &work] {
        std::fs::create_dir(directory).unwrap();
        std::os::unix::fs::chown(directory, Some(100_000), Some(100_000)).unwrap();
    }
    let layer = |name: &str, path: &std::path::Path| format!("{name}={}", path.display());
    bundle.rootfs_mounts = vec![RootfsMount {
        kind: "overlay".into(),
        source: "overlay".into(),
        target: String::new(),
        options: vec![
            "index=off".into(),
            layer("lowerdir", &lower),
            layer("upperdir", &upper),
            layer("workdir", &work),
            "uidmap=0:100000:65536".into(),
            "gidmap=0:100000:65536".into(),
        ],
    }];
    let outcome = bundle.output(runtime);
    assert_eq!(outcome.stdout, "0 /etc/passwd\n0 /etc\n0 /\n0\n", "{outcome:?}");
    assert!(!bundle.path().join("mapped-layers").exists());
}

fn joined_namespaces(runtime: &Arc<Runtime>) {
    let mut first = mapped_bundle("").set("/process/args", json!(["sleep", "1000"]));
    first.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let (pod, init) = first.create(runtime, Streams::new().io()).unwrap();
    init.start().unwrap();
    let of_pod =
        |kind: &str, name: &str| json!({"type": kind, "path": format!("/proc/{}/ns/{name}", init.pid())});
    let second = mapped_bundle("cat /proc/1/comm; id -u; hostname").set(
        "/linux/namespaces",
        json!([{"type": "mount"}, {"type": "cgroup"}, of_pod("user", "user"), of_pod("pid", "pid"), of_pod("ipc", "ipc"),
               of_pod("uts", "uts"), of_pod("network", "net")]),
    );
    let outcome = second.output(runtime);
    assert_eq!(outcome.stdout, "sleep\n0\ntesthost\n", "{outcome:?}");
    let process = serde_json::from_value(json!({
        "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "tr -s ' ' < /proc/self/uid_map"], "env": ["PATH=/usr/bin"], "cwd": "/"
    }))
    .unwrap();
    let streams = Streams::new();
    let exec = pod.exec(&process, streams.io()).unwrap();
    exec.start().unwrap();
    assert_eq!(streams.wait(&exec).stdout, " 0 100000 65536\n", "an exec is in the user namespace, too");
    pod.signal_all(9).unwrap();
    wait(&init);
    pod.delete().unwrap();
    assert_eq!(Bundle::new("echo $$").output(runtime).stdout, "1\n", "the spawner is back where it was");
}

fn time_namespace(runtime: &Arc<Runtime>) {
    let mut bundle = Bundle::new("cut -d. -f1 /proc/uptime")
        .set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000_000}}));
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    let uptime = |outcome: &str| outcome.trim().parse::<u64>().unwrap();
    assert!(uptime(&bundle.output(runtime).stdout) > 1_000_000_000);
    assert!(uptime(&Bundle::new("cut -d. -f1 /proc/uptime").output(runtime).stdout) < 1_000_000_000);
}

fn sysctl(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("cat /proc/sys/net/ipv4/ip_forward")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .output(runtime);
    assert_eq!(outcome.stdout, "1\n", "{outcome:?}");
}

fn seccomp(runtime: &Arc<Runtime>) {
    for no_new_privileges in [true, false] {
        let bundle = Bundle::new("mkdir /tmp/a; echo $?; id -u; grep Seccomp: /proc/self/status")
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set(
                "/linux/seccomp",
                json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 39}]
                }),
            );
        let outcome = bundle.output(runtime);
        assert_eq!(outcome.stdout, "1\n1000\nSeccomp:\t2\n", "{outcome:?}");
        assert!(outcome.stderr.contains("Directory not empty"), "{outcome:?}");
    }
}

fn hooks(runtime: &Arc<Runtime>) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let hook = |point: &str, command: &str| {
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("{command} | sed s/^/{point}:/ >> {}", log.path().display())],
                "env": ["PATH=/usr/bin:/bin"]}])
    };
    let status = r#"grep -o '"status":"[a-z]*"'"#;
    let bundle = Bundle::new("echo container >> /log")
        .add_mount(json!({"destination": "/log", "type": "bind", "source": log.path(), "options": ["bind"]}))
        .set("/hooks", json!({
            "createRuntime": hook("createRuntime", status),
            "createContainer": hook("createContainer", "hostname"),
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer:$(hostname) >> /log"], "env": ["PATH=/usr/bin"]}],
            "poststart": hook("poststart", status),
            "poststop": hook("poststop", status)
        }));
    let (container, process) = bundle.create(runtime, Streams::new().io()).unwrap();
    process.start().unwrap();
    assert_eq!(wait(&process), 0);
    container.after_start().unwrap();
    container.delete().unwrap();
    assert_eq!(
        std::fs::read_to_string(log.path()).unwrap(),
        "createRuntime:\"status\":\"creating\"\ncreateContainer:testhost\nstartContainer:testhost\ncontainer\n\
         poststart:\"status\":\"running\"\npoststop:\"status\":\"stopped\"\n"
    );
}
