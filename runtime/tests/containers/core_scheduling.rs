//! `ballast.dev/cpu-smt-isolation` by core scheduling: who has which cookie.

use super::bundle::{Bundle, Streams, wait};
use super::{ConditionalTest, Test};
use ballast_cgroups::priority::Mechanism;
use ballast_runtime::{Container, Process, Runtime, obstacle_to};
use rustix::process::{Pid, getpid};
use rustix::thread::{CoreSchedulingScope, core_scheduling_cookie};
use serde_json::json;
use std::sync::Arc;

pub const TESTS: &[ConditionalTest] =
    &[("processes_of_an_isolated_container_share_a_cookie_that_nobody_else_has", cookies as Test, || {
        obstacle_to(Mechanism::CoreScheduling)
    })];

fn cookie(pid: u32) -> u64 {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    core_scheduling_cookie(pid, CoreSchedulingScope::Thread).unwrap()
}

/// Starts a container with a child of its first process.
fn started(runtime: &Arc<Runtime>, isolation: &str) -> (Bundle, Container, Process) {
    let bundle = Bundle::new("sleep 1000 & echo; exec sleep 1000 >/dev/null 2>&1")
        .set("/annotations", json!({"ballast.dev/cpu-smt-isolation": isolation}));
    let streams = Streams::new();
    let (container, init) = bundle.create(runtime, streams.io()).unwrap();
    init.start().unwrap();
    let mut line = [0];
    streams.read(&mut line);
    (bundle, container, init)
}

fn cookies(runtime: &Arc<Runtime>) {
    let isolated = [started(runtime, "true"), started(runtime, "true")];
    let open = started(runtime, "false");
    let process = serde_json::from_value(json!({
        "user": {"uid": 1000, "gid": 1000}, "args": ["sleep", "1000"], "env": ["PATH=/usr/bin"], "cwd": "/"
    }));
    let process = process.unwrap();
    let mut known = Vec::new();
    for (_, container, init) in &isolated {
        let exec = container.exec(&process, Streams::new().io()).unwrap();
        exec.start().unwrap();
        let own = cookie(init.pid());
        let pids = container.process_ids().unwrap();
        assert!(pids.len() == 3 && pids.contains(&exec.pid()), "{pids:?}");
        for pid in pids {
            assert_eq!(cookie(pid), own);
        }
        let undone = container.priority().undone;
        assert!(undone.is_empty(), "{undone:?}");
        known.push(own);
    }
    assert!(known[0] != known[1] && !known.contains(&0), "{known:?}");
    for pid in open.1.process_ids().unwrap() {
        assert_eq!(cookie(pid), 0, "nobody asked for it");
    }
    let own = u32::try_from(getpid().as_raw_nonzero().get()).unwrap();
    assert_eq!((cookie(own), cookie(1)), (0, 0), "the host's");
    for (bundle, container, init) in isolated.into_iter().chain([open]) {
        container.signal_all(9).unwrap();
        wait(&init);
        container.delete().unwrap();
        bundle.assert_nothing_left();
    }
}
