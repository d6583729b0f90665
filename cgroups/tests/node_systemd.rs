//! Scopes of a real systemd. Run where systemd is the service manager on unified cgroup v2, as root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, missing_docs, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;

use ballast_cgroups::memory_qos::{LevelsLock, PodPlace};
use ballast_cgroups::priority::{Level, Request};
use ballast_cgroups::{CgroupPath, Hierarchy, Kind, Limits, UnitProperties};
use common::{Sleeper, soon};
use rustix::process::{Pid, Signal, kill_process};

fn limits(json: &str) -> Limits {
    Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap()
}

/// A property of a unit, as `systemctl show` prints it.
fn shown(unit: &str, property: &str) -> String {
    let output =
        Command::new("systemctl").args(["show", "--value", "--property", property, unit]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs systemd as the service manager"]
fn a_scope_lives_from_its_placeholder_to_its_deletion() {
    let hierarchy = Hierarchy::discover().unwrap();
    let path = CgroupPath::parse(&format!("ballasttest.slice:ballast:{}", std::process::id())).unwrap();
    assert!(path.is_owned_by_systemd());
    let unit = path.unit().unwrap().name.clone();
    let refused = hierarchy.create(&path).unwrap_err();
    assert_eq!(refused.kind(), Kind::FailedPrecondition, "{refused}");

    let properties =
        UnitProperties::from_annotations([("org.systemd.property.TimeoutStopSec", "uint64 7")]).unwrap();
    let mut placeholder = Command::new("sleep").arg("1000").spawn().unwrap();
    let placeholder_pid = Pid::from_child(&placeholder);
    let first = limits(
        r#"{"memory": {"limit": 104857600}, "cpu": {"shares": 1024, "quota": 25000, "period": 50000}}"#,
    );
    let cgroup = hierarchy.create_scope(&path, placeholder_pid, &first, &properties).unwrap();
    assert_eq!(cgroup.processes().unwrap(), [placeholder_pid]);
    assert_eq!(shown(&unit, "MemoryMax"), "104857600");
    assert_eq!(shown(&unit, "CPUWeight"), "100");
    assert_eq!(shown(&unit, "CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(shown(&unit, "Delegate"), "yes");
    assert_eq!(shown(&unit, "TimeoutStopUSec"), "7s");
    assert_eq!(shown(&unit, "ControlGroup"), path.to_string());

    let again = hierarchy.create_scope(&path, placeholder_pid, &first, &properties).unwrap_err();
    assert_eq!(again.kind(), Kind::AlreadyExists, "{again}");

    // The container's process takes over from the placeholder.
    let mut process = Sleeper::in_cgroup(&cgroup);
    kill_process(placeholder_pid, Signal::KILL).unwrap();
    placeholder.wait().unwrap();
    assert_eq!(cgroup.processes().unwrap().len(), 1);
    assert_eq!(shown(&unit, "ActiveState"), "active");

    cgroup.kill_all().unwrap();
    assert_eq!(process.ended_by(), Some(9));
    cgroup.delete(soon()).unwrap();
    assert!(!cgroup.directory_path().exists());
    assert_eq!(shown(&unit, "LoadState"), "not-found");
    cgroup.delete(soon()).unwrap();
}

#[test]
#[ignore = "needs systemd as the service manager"]
fn an_update_reaches_systemd_before_the_files() {
    let hierarchy = Hierarchy::discover().unwrap();
    let path =
        CgroupPath::parse(&format!("ballasttest.slice:ballast:update-{}", std::process::id())).unwrap();
    let unit = path.unit().unwrap().name.clone();
    let mut placeholder = Command::new("sleep").arg("1000").spawn().unwrap();
    let cgroup = hierarchy
        .create_scope(&path, Pid::from_child(&placeholder), &Limits::default(), &UnitProperties::default())
        .unwrap();
    // The outcome depends on the controllers of the machine; systemd is told first in any case.
    let updated = cgroup.update(&limits(r#"{"pids": {"limit": 77}, "unified": {"memory.oom.group": "1"}}"#));
    assert_eq!(updated.is_ok(), cgroup.controllers().unwrap().contains("pids"), "{updated:?}");
    assert_eq!(shown(&unit, "TasksMax"), "77");
    cgroup.kill_all().unwrap();
    placeholder.wait().unwrap();
    cgroup.delete(soon()).unwrap();
}

#[test]
#[ignore = "needs systemd as the service manager"]
fn a_priority_survives_a_reload_of_systemd_on_pod_and_container() {
    let hierarchy = Hierarchy::discover().unwrap();
    let slice = format!("ballasttest-kubepods-besteffort-pod{}.slice", std::process::id());
    let path = CgroupPath::parse(&format!("{slice}:ballast:priority-{}", std::process::id())).unwrap();
    let unit = path.unit().unwrap().name.clone();
    let place = PodPlace::of(&path).unwrap();
    let mut placeholder = Command::new("sleep").arg("1000").spawn().unwrap();
    let first = limits(r#"{"cpu": {"shares": 1024}}"#);
    let cgroup = hierarchy
        .create_scope(&path, Pid::from_child(&placeholder), &first, &UnitProperties::default())
        .unwrap();
    cgroup.apply(&first).unwrap();
    let lock = || LevelsLock::take(Path::new("/run"));
    let ask = |level: Option<Level>| {
        let request = Request { level, ..Request::default() };
        cgroup.apply_priority(Some(&place), level, &request, None, lock).unwrap();
    };
    let weights = || {
        let reloaded = Command::new("systemctl").arg("daemon-reload").status().unwrap();
        assert!(reloaded.success());
        let own = cgroup.directory_path();
        let weight = |directory: &Path| std::fs::read_to_string(directory.join("cpu.weight")).unwrap();
        let files = [own, own.parent().unwrap()].map(|directory| weight(directory).trim().to_owned());
        let units = [&unit, &slice].map(|unit| shown(unit, "CPUWeight"));
        (files, units)
    };
    ask(Some(Level::new(2).unwrap()));
    assert_eq!(weights(), (["25", "25"].map(str::to_owned), ["25", "25"].map(str::to_owned)));
    ask(None);
    hierarchy.release_priority(&place, &lock().unwrap()).unwrap();
    assert_eq!(weights(), (["100", "100"].map(str::to_owned), ["100", "100"].map(str::to_owned)));
    cgroup.kill_all().unwrap();
    placeholder.wait().unwrap();
    cgroup.delete(soon()).unwrap();
}
