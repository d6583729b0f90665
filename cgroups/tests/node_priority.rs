//! Priorities in the files of a real kernel, whichever backend that has. Run on unified cgroup v2 as root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, missing_docs, reason = "a test")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ballast_cgroups::memory_qos::{LevelsLock, PodPlace};
use ballast_cgroups::priority::{
    Backend, Knob, Level, Mechanism, Microseconds, Outcome, PageCacheLimit, Percent, Reason, Report, Request,
};
use ballast_cgroups::{Cgroup, Kind, Limits};
use common::Sleeper;
use place::Place;

fn limits(json: &str) -> Limits {
    Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap()
}

fn content(cgroup: &Cgroup, file: &str) -> String {
    std::fs::read_to_string(cgroup.directory_path().join(file)).unwrap().trim().to_owned()
}

fn at(level: Level) -> Request {
    Request { level: Some(level), ..Request::default() }
}

/// A container of a pod of kubelet's, with usual limits.
fn container(place: &Place, name: &str) -> Cgroup {
    let path = place.path(&format!("kubepods/besteffort/pod1/{name}"));
    let cgroup = place.hierarchy.create(&path).unwrap();
    cgroup
        .apply(&limits(r#"{"cpu": {"shares": 512, "quota": 50000}, "memory": {"limit": 67108864}}"#))
        .unwrap();
    cgroup
}

fn ask(cgroup: &Cgroup, pod: Option<Level>, request: &Request) -> Report {
    let pod_place = PodPlace::of(cgroup.path());
    let lock = || LevelsLock::take(Path::new("/run"));
    cgroup.apply_priority(pod_place.as_ref(), pod, request, None, lock).unwrap()
}

fn outcome(report: &Report, knob: Knob) -> &Outcome {
    &report.entries.iter().find(|entry| entry.knob == knob).unwrap().outcome
}

/// Every file and attribute of a cgroup and of all below that Ballast could have changed.
fn everything(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let mut note = [0_u8; 65_536];
        let length = rustix::fs::getxattr(&directory, "trusted.ballast.priority", &mut note).unwrap_or(0);
        found.insert(directory.clone(), String::from_utf8_lossy(&note[..length]).into_owned());
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if let Ok(content) = std::fs::read_to_string(&path)
                && is_setting(&path)
            {
                found.insert(path, content);
            }
        }
    }
    found
}

/// Counters change by themselves.
fn is_setting(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let counters =
        ["stat", "current", "peak", "events", "pressure", "procs", "threads", "local", "numa_stat"];
    !counters.iter().any(|counter| name.ends_with(counter))
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn every_way_from_level_to_level_and_back_leaves_no_trace() {
    let place = Place::new("levels");
    let cgroup = container(&place, "box");
    let mut process = Sleeper::in_cgroup(&cgroup);
    let top = cgroup.directory_path().parent().unwrap().to_owned();
    let before = everything(&top);
    for from in Level::ALL {
        for to in Level::ALL {
            for level in [from, to] {
                let report = ask(&cgroup, Some(level), &at(level));
                assert!(matches!(outcome(&report, Knob::Cpu), Outcome::Written { .. }), "{report:?}");
                assert_eq!(report.stuck, []);
            }
            ask(&cgroup, None, &Request::default());
            place
                .hierarchy
                .release_priority(
                    &PodPlace::of(cgroup.path()).unwrap(),
                    &LevelsLock::take(Path::new("/run")).unwrap(),
                )
                .unwrap();
            assert_eq!(everything(&top), before, "{from} {to}");
        }
    }
    cgroup.kill_all().unwrap();
    assert_eq!(process.ended_by(), Some(9), "it lived through all of that");
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn an_idle_container_takes_updates_of_its_weight() {
    let place = Place::new("update");
    let cgroup = container(&place, "box");
    let report = ask(&cgroup, None, &at(Level::OFFLINE));
    if !matches!(outcome(&report, Knob::Cpu), Outcome::Written { backend: Backend::Mainline, .. }) {
        return;
    }
    assert_eq!(content(&cgroup, "cpu.idle"), "1");
    let update = limits(r#"{"cpu": {"shares": 2048, "quota": 40000}}"#);
    assert_eq!(cgroup.update(&update).unwrap_err().kind(), Kind::InvalidArgument, "as the kernel has it");
    let mut fitted = update.clone();
    cgroup.fit_priority(&mut fitted).unwrap();
    cgroup.update(&fitted).unwrap();
    let pod_place = PodPlace::of(cgroup.path());
    let lock = || LevelsLock::take(Path::new("/run"));
    cgroup.apply_priority(pod_place.as_ref(), None, &at(Level::OFFLINE), Some(&update), lock).unwrap();
    assert_eq!(
        (content(&cgroup, "cpu.idle"), content(&cgroup, "cpu.max")),
        ("1".into(), "40000 100000".into())
    );
    ask(&cgroup, None, &at(Level::new(1).unwrap()));
    assert_eq!((content(&cgroup, "cpu.idle"), content(&cgroup, "cpu.weight")), ("0".into(), "87".into()));
    ask(&cgroup, None, &Request::default());
    assert_eq!(content(&cgroup, "cpu.weight"), "174");
    assert_eq!(cgroup.observe_priority().unwrap(), None);
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn what_no_file_does_is_left_and_what_the_kernel_refuses_is_told() {
    let place = Place::new("finer");
    let cgroup = container(&place, "box");
    let request = Request {
        cpu_burst: Some(Microseconds(20_000)),
        smt_isolation: true,
        page_cache_limit: Some(PageCacheLimit::Share(Percent::new(50).unwrap())),
        ..Request::default()
    };
    let report = ask(&cgroup, None, &request);
    assert_eq!(content(&cgroup, "cpu.max.burst"), "20000");
    let left: Vec<_> = report.left().collect();
    assert!(left.contains(&(Knob::CpuSmtIsolation, Mechanism::CoreScheduling)), "{report:?}");
    // More than the quota.
    let report = ask(&cgroup, None, &Request { cpu_burst: Some(Microseconds(60_000)), ..Request::default() });
    let unset: Vec<_> = report.unset().flat_map(|entry| &entry.passed_over).collect();
    assert!(
        matches!(&unset[..], [passed] if matches!(&passed.reason, Reason::Refused { errno: 22, .. })),
        "{report:?}"
    );
    assert_eq!(content(&cgroup, "cpu.max.burst"), "0");
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn another_caller_sees_what_was_done_and_takes_it_back() {
    let place = Place::new("observe");
    let cgroup = container(&place, "box");
    let report = ask(&cgroup, Some(Level::OFFLINE), &at(Level::OFFLINE));
    let found = place.hierarchy.find(cgroup.path()).unwrap();
    let observed = found.observe_priority().unwrap().unwrap();
    assert_eq!((observed.request, observed.pod_level), (at(Level::OFFLINE), Some(Level::OFFLINE)));
    assert_eq!(observed.report, report);
    assert!(observed.files.iter().all(|file| file.written.is_none()), "{:?}", observed.files);
    ask(&found, None, &Request::default());
    assert_eq!(content(&cgroup, "cpu.weight"), "59");
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn a_removed_container_is_not_found_and_its_pod_goes_back() {
    let place = Place::new("removed");
    let (gone, stays) = (container(&place, "gone"), container(&place, "stays"));
    let top = stays.directory_path().parent().unwrap().to_owned();
    let weight = || std::fs::read_to_string(top.join("cpu.weight")).unwrap().trim().to_owned();
    let before = weight();
    let third = Level::new(3).unwrap();
    ask(&stays, Some(third), &at(third));
    ask(&gone, Some(third), &at(Level::ONLINE));
    assert_eq!(weight(), before, "the highest counts");
    gone.delete(common::soon()).unwrap();
    let pod_place = PodPlace::of(gone.path()).unwrap();
    let lock = || LevelsLock::take(Path::new("/run"));
    let refused = gone.apply_priority(Some(&pod_place), None, &at(third), None, lock).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    place.hierarchy.release_priority(&pod_place, &lock().unwrap()).unwrap();
    assert_ne!(weight(), before, "those that are left are lower");
    stays.delete(common::soon()).unwrap();
    place.hierarchy.release_priority(&pod_place, &lock().unwrap()).unwrap();
    assert_eq!(weight(), before);
}

#[test]
#[ignore = "needs a cgroup v2 hierarchy with controllers"]
fn a_nodes_report_says_what_is_done_for_every_knob() {
    let place = Place::new("report");
    let _pod = container(&place, "box");
    let report = place.hierarchy.priority_support().unwrap();
    assert_eq!(report.treatments.len(), Knob::ALL.len());
    let cpu = report.treatments.iter().find(|treatment| treatment.knob == Knob::Cpu).unwrap();
    assert!(cpu.backend.is_some(), "{report:?}");
}
