//! Place, freeze, kill and delete on a real hierarchy. Needs root and a cgroup2 mount, but no controller.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, missing_docs, reason = "a test")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::process::Command;
use std::time::{Duration, Instant};

use ballast_cgroups::{CgroupPath, Error, Hierarchy, Kind, StatisticsReader};
use common::{Sleeper, soon};
use place::Place;
use rustix::process::{Signal, getpid};

#[test]
fn missing_parents_are_created_and_a_new_cgroup_is_empty() {
    let place = Place::new("parents");
    let cgroup = place.hierarchy.create(&place.path("a/b/c")).unwrap();
    assert!(cgroup.directory_path().ends_with("a/b/c"));
    assert!(!cgroup.is_populated().unwrap());
    assert!(cgroup.processes().unwrap().is_empty());
    assert_eq!(place.hierarchy.find(cgroup.path()).unwrap().path(), cgroup.path());
}

#[test]
fn a_left_over_directory_is_replaced_and_one_in_use_is_refused() {
    let place = Place::new("leftover");
    let path = place.path("box");
    let left_over = place.hierarchy.create(&path).unwrap();
    let reader = StatisticsReader::new(&left_over).unwrap();
    let cgroup = place.hierarchy.create(&path).unwrap();
    // The old directory is gone, so whatever was set in it is too.
    let mut reader = reader;
    assert_eq!(reader.read().unwrap_err().kind(), Kind::NotFound);
    let sleeper = Sleeper::in_cgroup(&cgroup);
    let error = place.hierarchy.create(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    drop(sleeper);
}

#[test]
fn a_failed_create_leaves_no_directory() {
    let place = Place::new("undo");
    let domain = place.hierarchy.create(&place.path("domain")).unwrap();
    let threaded = domain.directory_path().join("threaded");
    std::fs::create_dir(&threaded).unwrap();
    std::fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    let error = place.hierarchy.create(&place.path("domain/threaded/x/y")).unwrap_err();
    assert!(matches!(&error, Error::NotADomain { mode, .. } if mode == "domain invalid"), "{error:?}");
    assert!(!threaded.join("x").exists());
}

#[test]
fn parallel_creators_and_removers_of_the_same_parents_do_not_fail() {
    let place = Place::new("race");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..100 {
                    let cgroup =
                        place.hierarchy.create(&place.path(&format!("p/q/{thread}-{round}"))).unwrap();
                    cgroup.delete(soon()).unwrap();
                    // Removed by whoever finds them empty.
                    let parent = cgroup.directory_path().parent().unwrap();
                    drop(std::fs::remove_dir(parent));
                    drop(std::fs::remove_dir(parent.parent().unwrap()));
                }
            });
        }
    });
}

#[test]
fn frozen_processes_stand_still_and_still_die() {
    let place = Place::new("freeze");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let mut sleeper = Sleeper::in_cgroup(&cgroup);
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze(soon()).unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw(soon()).unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze(soon()).unwrap();
    cgroup.kill_all().unwrap();
    cgroup.wait_until_empty(soon()).unwrap();
    assert_eq!(sleeper.ended_by(), Some(9));
    cgroup.delete(soon()).unwrap();
}

#[test]
fn killing_reaches_every_level_and_deleting_removes_them() {
    let place = Place::new("tree");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let mut sleepers = Vec::new();
    // As a container makes them that manages cgroups of its own.
    for inner in ["a", "a/b", "c"] {
        let inner = cgroup.directory_path().join(inner);
        std::fs::create_dir(&inner).unwrap();
        sleepers.push(Sleeper::in_directory(&inner));
    }
    assert_eq!(cgroup.processes().unwrap().len(), 3);
    cgroup.kill_all().unwrap();
    cgroup.delete(soon()).unwrap();
    assert!(!cgroup.directory_path().exists());
    for mut sleeper in sleepers {
        assert_eq!(sleeper.ended_by(), Some(9));
    }
    cgroup.delete(soon()).unwrap();
    cgroup.kill_all().unwrap();
    assert_eq!(cgroup.processes().unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_signal_reaches_every_level() {
    let place = Place::new("signal");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let inner = cgroup.directory_path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let (mut outer, mut inner) = (Sleeper::in_cgroup(&cgroup), Sleeper::in_directory(&inner));
    cgroup.signal_all(Signal::TERM).unwrap();
    assert_eq!((outer.ended_by(), inner.ended_by()), (Some(15), Some(15)));
}

#[test]
fn a_cgroup_with_processes_is_not_deleted() {
    let place = Place::new("busy");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let _sleeper = Sleeper::in_cgroup(&cgroup);
    let error = cgroup.delete(Instant::now() + Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { state: "empty", .. }), "{error:?}");
    assert!(cgroup.directory_path().exists());
}

#[test]
fn a_tree_as_deep_as_a_container_likes_is_walked_and_deleted() {
    let place = Place::new("deep");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let mut directory = cgroup.directory_path().to_owned();
    for _ in 0..1000 {
        directory.push("d");
        std::fs::create_dir(&directory).unwrap();
    }
    assert!(cgroup.processes().unwrap().is_empty());
    cgroup.delete(soon()).unwrap();
    assert!(!cgroup.directory_path().exists());
}

#[test]
fn statistics_outlive_the_processes_and_end_with_the_cgroup() {
    let place = Place::new("statistics");
    let cgroup = place.hierarchy.create(&place.path("box")).unwrap();
    let mut reader = StatisticsReader::new(&cgroup).unwrap();
    // Long enough for a kernel that accounts the CPU by ticks.
    let script = r#"echo $$ > "$0/cgroup.procs" && i=0 && while [ $i -lt 300000 ]; do i=$((i+1)); done"#;
    let status = Command::new("/bin/sh").args(["-c", script]).arg(cgroup.directory_path()).status().unwrap();
    assert!(status.success());
    cgroup.wait_until_empty(soon()).unwrap();
    let statistics = reader.read().unwrap();
    assert!(statistics.cpu.usage_usec > 0, "{statistics:?}");
    cgroup.delete(soon()).unwrap();
    assert_eq!(reader.read().unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn this_process_is_found_where_it_is() {
    let hierarchy = Hierarchy::discover().unwrap();
    let content = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = content.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let pids = if own.is_empty() {
        std::fs::read_to_string(hierarchy.mount_point().join("cgroup.procs")).unwrap()
    } else {
        let cgroup = hierarchy.find(&CgroupPath::parse(&format!("/{own}")).unwrap()).unwrap();
        cgroup.processes().unwrap().iter().map(|pid| format!("{}\n", pid.as_raw_nonzero())).collect()
    };
    assert!(pids.lines().any(|pid| pid == getpid().as_raw_nonzero().to_string()));
}
