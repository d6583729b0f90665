//! Limits, statistics and memory events with real controllers. Run on unified cgroup v2 as root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, missing_docs, reason = "a test")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use ballast_cgroups::{Cgroup, Kind, Limits, StatisticsReader};
use common::{Sleeper, soon};
use place::Place;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn limits(json: &str) -> Limits {
    Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap()
}

fn content(cgroup: &Cgroup, file: &str) -> String {
    std::fs::read_to_string(cgroup.directory_path().join(file)).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn limits_arrive_in_the_files() {
    let place = Place::new("limits");
    let cgroup = place.hierarchy.create(&place.path("pod/box")).unwrap();
    cgroup
        .apply(&limits(
            r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000},
                "memory": {"limit": 67108864, "reservation": 33554432, "swap": 67108864},
                "pids": {"limit": 50},
                "unified": {"memory.high": "50331648", "memory.oom.group": "1", "cgroup.max.depth": "4"}}"#,
        ))
        .unwrap();
    for (file, value) in [
        ("cpu.weight", "59"),
        ("cpu.max", "50000 100000"),
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.high", "50331648"),
        ("memory.oom.group", "1"),
        ("pids.max", "50"),
        ("cgroup.max.depth", "4"),
    ] {
        assert_eq!(content(&cgroup, file), value, "{file}");
    }
    let statistics = StatisticsReader::new(&cgroup).unwrap().read().unwrap();
    assert_eq!(statistics.pids.unwrap().limit, 50);
    assert_eq!(statistics.memory.unwrap().usage_limit, 67_108_864);
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn an_update_changes_what_it_sets_and_keeps_the_rest() {
    let place = Place::new("update");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    cgroup
        .apply(&limits(
            r#"{"cpu": {"quota": 50000, "period": 100000, "burst": 50000}, "pids": {"limit": 9}}"#,
        ))
        .unwrap();
    assert_eq!(content(&cgroup, "cpu.max.burst"), "50000");
    cgroup.update(&limits(r#"{"cpu": {"period": 50000}}"#)).unwrap();
    assert_eq!(content(&cgroup, "cpu.max"), "50000 50000");
    // Neither order of the two files would do for both of these.
    cgroup.update(&limits(r#"{"cpu": {"quota": 20000, "burst": 10000}}"#)).unwrap();
    assert_eq!(
        (content(&cgroup, "cpu.max"), content(&cgroup, "cpu.max.burst")),
        ("20000 50000".into(), "10000".into())
    );
    cgroup.update(&limits(r#"{"cpu": {"quota": 90000, "burst": 80000}}"#)).unwrap();
    assert_eq!(
        (content(&cgroup, "cpu.max"), content(&cgroup, "cpu.max.burst")),
        ("90000 50000".into(), "80000".into())
    );
    cgroup.update(&limits(r#"{"cpu": {"quota": -1}, "memory": {"limit": -1}}"#)).unwrap();
    assert_eq!(content(&cgroup, "cpu.max"), "max 50000");
    assert_eq!(content(&cgroup, "pids.max"), "9");
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn idle_and_weight_can_be_changed_together() {
    let place = Place::new("idle");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    cgroup.apply(&limits(r#"{"cpu": {"shares": 2048, "idle": 1}}"#)).unwrap();
    assert_eq!(content(&cgroup, "cpu.idle"), "1");
    cgroup.update(&limits(r#"{"cpu": {"shares": 1024, "idle": 0}}"#)).unwrap();
    assert_eq!((content(&cgroup, "cpu.idle"), content(&cgroup, "cpu.weight")), ("0".into(), "100".into()));
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn a_value_that_the_kernel_refuses_is_an_invalid_argument() {
    let place = Place::new("refused");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let error = cgroup.apply(&limits(r#"{"cpu": {"quota": 10, "period": 100000}}"#)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("cpu.max"), "{error}");
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn an_update_that_is_refused_half_way_leaves_the_old_limits() {
    const FILES: [&str; 6] = ["cpu.max", "cpu.weight", "memory.max", "memory.low", "memory.high", "pids.max"];
    let place = Place::new("half");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let old = r#"{"cpu": {"quota": 20000, "period": 50000, "shares": 512}, "pids": {"limit": 50},
        "memory": {"limit": 67108864, "reservation": 1048576}, "unified": {"memory.high": "33554432"}}"#;
    cgroup.apply(&limits(old)).unwrap();
    let before = FILES.map(|file| content(&cgroup, file));
    let new = r#"{"cpu": {"quota": 10, "period": 100000, "shares": 1024}, "pids": {"limit": 60},
        "memory": {"limit": 16777216, "reservation": 2097152}, "unified": {"memory.high": "max"}}"#;
    let error = cgroup.update(&limits(new)).unwrap_err();
    assert!(error.to_string().contains("cpu.max"), "{error}");
    assert_eq!(FILES.map(|file| content(&cgroup, file)), before);
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn a_limit_below_what_is_used_is_refused_when_asked_to_check() {
    let place = Place::new("check");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let mut sleeper = Sleeper::in_cgroup(&cgroup);
    let error = cgroup.update(&limits(r#"{"memory": {"limit": 1, "checkBeforeUpdate": true}}"#)).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition, "{error}");
    assert_eq!(content(&cgroup, "memory.max"), "max");
    cgroup.kill_all().unwrap();
    assert_eq!(sleeper.ended_by(), Some(9));
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn processes_in_a_parent_are_named_as_the_reason() {
    let place = Place::new("internal");
    let parent = place.hierarchy.create(&place.path("parent")).unwrap();
    let _sleeper = Sleeper::in_cgroup(&parent);
    let error = place.hierarchy.create(&place.path("parent/box")).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains("has processes of its own"), "{error}");
    assert!(!parent.directory_path().join("box").exists());
    assert_eq!(
        (content(&parent, "cgroup.type"), content(&parent, "cgroup.subtree_control")),
        ("domain".into(), "".into())
    );
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn an_oom_kill_is_reported_and_still_there_after_the_exit() {
    let place = Place::new("oom");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    cgroup.apply(&limits(r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#)).unwrap();
    let mut reader = StatisticsReader::new(&cgroup).unwrap();
    let mut events = cgroup.memory_events_file().unwrap();
    assert_eq!(events.read().unwrap().oom_kill, 0);
    // `tail` keeps an endless line in memory.
    let script = r#"echo $$ > "$0/cgroup.procs" && exec tail /dev/zero"#;
    let mut hog = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(cgroup.directory_path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while events.read().unwrap().oom_kill == 0 {
        let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&events.as_fd(), PollFlags::PRI)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "no notification");
    }
    hog.wait().unwrap();
    cgroup.wait_until_empty(soon()).unwrap();
    assert_eq!(reader.read_memory_events().unwrap().unwrap().oom_kill, 1);
    assert_eq!(cgroup.memory_events().unwrap().oom_kill, 1);
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers and a block device"]
fn throttles_of_a_device_arrive_in_one_line() {
    let place = Place::new("throttle");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let disk = std::fs::read_dir("/sys/block").unwrap().next().expect("no block device").unwrap();
    let number = std::fs::read_to_string(disk.path().join("dev")).unwrap();
    let (major, minor) = number.trim().split_once(':').unwrap();
    let device = |rate: u64| format!(r#"[{{"major": {major}, "minor": {minor}, "rate": {rate}}}]"#);
    let throttles = |read: u64, write: u64| {
        let (read, write) = (device(read), device(write));
        limits(&format!(
            r#"{{"blockIO": {{"throttleReadBpsDevice": {read}, "throttleWriteIOPSDevice": {write}}}}}"#
        ))
    };
    cgroup.apply(&throttles(1_048_576, 100)).unwrap();
    let line = format!("{} rbps=1048576 wbps=max riops=max wiops=100", number.trim());
    assert_eq!(content(&cgroup, "io.max"), line);
    cgroup.update(&throttles(0, 0)).unwrap();
    assert_eq!(content(&cgroup, "io.max"), "");
}
