//! What systemd knows about a running container.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::json::number;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
use ballast_integration::testbed::systemd::{self, systemctl};
use serde_json::{Value, json};

use crate::fixture::{SlicedPod, property, unit_of, with_resources};

#[test]
fn a_container_and_its_sandbox_are_scopes_in_the_pods_slice() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({}));
    for (id, process) in [(&sliced.pod.id, sliced.pod.process()), (&container.id, container.process())] {
        let unit = unit_of(id);
        let expected = [
            ("LoadState", "loaded"),
            ("ActiveState", "active"),
            ("SubState", "running"),
            ("Slice", sliced.slice.name.as_str()),
            ("Delegate", "yes"),
            ("Transient", "yes"),
        ];
        for (name, value) in expected {
            assert_eq!(systemd::property(&unit, name), value, "{name} of {unit}");
        }
        let place = format!("{}/{unit}", sliced.slice.cgroup_parent());
        assert_eq!(systemd::property(&unit, "ControlGroup"), place);
        assert_eq!(process.cgroup(), format!("/sys/fs/cgroup{place}"));
        assert!(systemd::property(&unit, "Description").contains(id.as_str()));
    }
    assert_eq!(sliced.slice.children().len(), 2, "the placeholders' cgroups");
    assert_eq!(container.cgroup_file("cgroup.procs").lines().count(), 1, "the placeholder is gone");
}

#[test]
fn systemd_and_the_kernel_agree_on_the_limits_also_after_an_update() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let resources = json!({
        "memory_limit_in_bytes": 64 << 20, "cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 2048,
        "unified": {"pids.max": "77", "memory.low": "8388608", "memory.high": "50331648", "memory.oom.group": "1"},
    });
    let container = with_resources(&sliced.pod, &resources);
    let same = [
        ("MemoryMax", "memory.max", (64 << 20).to_string()),
        ("MemoryLow", "memory.low", (8 << 20).to_string()),
        ("MemoryHigh", "memory.high", (48 << 20).to_string()),
        ("TasksMax", "pids.max", "77".to_owned()),
    ];
    for (name, file, value) in same {
        assert_eq!(container.cgroup_file(file), value, "{file}");
        assert_eq!(property(&container, name), value, "{name}");
    }
    assert_eq!(property(&container, "CPUWeight"), container.cgroup_file("cpu.weight"));
    assert_eq!(container.cgroup_file("cpu.max"), "50000 100000");
    assert_eq!(property(&container, "CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(container.cgroup_file("memory.oom.group"), "1");

    let memory = (96 << 20).to_string();
    let quota = ["--cpu-quota", "20000", "--cpu-period", "50000", "--cpu-share", "512"];
    crictl(&[&["update", "--memory", &memory], &quota[..], &[&container.id]].concat());
    assert_eq!(container.cgroup_file("memory.max"), memory);
    assert_eq!(property(&container, "MemoryMax"), memory);
    assert_eq!(container.cgroup_file("cpu.max"), "20000 50000");
    assert_eq!(property(&container, "CPUQuotaPerSecUSec"), "400ms");
    assert_eq!(property(&container, "CPUQuotaPeriodUSec"), "50ms");
    assert_eq!(property(&container, "CPUWeight"), container.cgroup_file("cpu.weight"));
    assert_eq!(property(&container, "TasksMax"), "77", "was not updated");
}

/// What decides about access and consumption: limits of all kinds, and those that systemd rounds or does not know.
const FILES: [&str; 7] = [
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.oom.group",
    "pids.max",
    "cpu.weight",
    "cgroup.freeze",
];

#[test]
fn a_reload_of_systemd_undoes_neither_limits_nor_device_rules() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let resources = json!({
        "memory_limit_in_bytes": 64 << 20, "cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 2048,
        "unified": {"pids.max": "77", "memory.low": "8388608", "memory.high": "50331648", "memory.oom.group": "1"},
    });
    let container = with_resources(&sliced.pod, &resources);
    crictl(&["update", "--cpu-quota", "12345", "--memory", &(96 << 20).to_string(), &container.id]);
    // 1:1 is /dev/mem.
    container.exec(&["mknod", "/tmp/memory", "c", "1", "1"]);
    let refused = || container.try_exec(&["head", "-c", "1", "/tmp/memory"]).stderr;
    let state = || FILES.map(|file| container.cgroup_file(file));
    let before = state();
    assert!(refused().contains("not permitted"), "{}", refused());
    for verb in ["daemon-reload", "daemon-reexec", "daemon-reload"] {
        systemctl(&[verb]);
        assert_eq!(state(), before, "{verb}");
        assert!(refused().contains("not permitted"), "{verb}: {}", refused());
        assert_eq!(container.exec(&["sh", "-c", "echo x > /dev/null; echo written"]), "written", "{verb}");
        // systemd keeps quotas in hundredths of a CPU; it may give more than was asked for, never less.
        let quota = container.cgroup_file("cpu.max");
        assert!(["12345 100000", "13000 100000"].contains(&quota.as_str()), "{verb}: {quota}");
        assert_eq!(property(&container, "ActiveState"), "active");
    }
    crictl(&["update", "--memory", &(80 << 20).to_string(), &container.id]);
    assert_eq!(container.cgroup_file("memory.max"), (80 << 20).to_string());
}

#[test]
fn stats_are_what_the_cgroups_files_say() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({}));
    let usage = || -> (u64, u64) {
        let time = container.cgroup_file("cpu.stat");
        let time = time.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        (time.parse().unwrap(), container.cgroup_file("memory.current").parse().unwrap())
    };
    let before = usage();
    let output = crictl(&["stats", "--output", "json", "--id", &container.id]);
    let after = usage();
    let stats: Value = serde_json::from_str(&output).unwrap();
    let time = number(&stats, "/stats/0/cpu/usageCoreNanoSeconds/value") / 1000;
    assert!((before.0..=after.0).contains(&time), "{time} not in {before:?} to {after:?}");
    let memory = number(&stats, "/stats/0/memory/usageBytes/value");
    let (low, high) = (before.1.min(after.1), before.1.max(after.1));
    assert!((low..=high).contains(&memory), "{memory} not in {before:?} to {after:?}");
    let pod = crictl(&["statsp", "--output", "json", "--id", &sliced.pod.id]);
    let pod: Value = serde_json::from_str(&pod).unwrap();
    assert!(number(&pod, "/stats/0/linux/memory/usageBytes/value") > 0, "{pod}");
}

#[test]
fn an_exec_runs_in_the_containers_scope() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({}));
    assert_eq!(container.exec(&["cat", "/proc/self/cgroup"]), "0::/");
    let child = container.spawn_exec(&["sleep", "1000"]);
    ask_until("the command in the scope", || {
        (container.cgroup_file("cgroup.procs").lines().count() == 2).then_some(())
    });
    ask_until("the same number of tasks", || {
        (property(&container, "TasksCurrent") == container.cgroup_file("pids.current")).then_some(())
    });
    crictl(&["stop", "--timeout", "0", &container.id]);
    assert_ne!(ballast_integration::testbed::command::finish(child).code, Some(0));
}

#[test]
fn a_paused_container_stays_paused_over_a_reload_and_resumes() {
    let mut node = Node::take();
    let sliced = SlicedPod::run(&mut node, json!({}));
    let container = sliced.pod.start(json!({}));
    let frozen = || container.cgroup_file("cgroup.events").contains("frozen 1");
    let task = |verb: &str| run("ctr", &["-n", "k8s.io", "task", verb, &container.id]).expect_success(verb);
    task("pause");
    assert!(frozen());
    systemctl(&["daemon-reload"]);
    assert!(frozen());
    task("resume");
    assert!(!frozen());
    assert_eq!(container.exec(&["echo", "awake"]), "awake");
    task("pause");
    crictl(&["stop", "--timeout", "0", &container.id]);
    assert_eq!(container.exit_code(), 137);
}
