//! A view over its container's life.

use super::{MI, asking, column, limited, node};
use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::process::{Process, ask_until};
use rustix::process::Signal;

#[test]
fn an_update_shows_at_once_and_no_counter_goes_back() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let read = || {
        let text = container.exec(&["cat", "/proc/stat", "/proc/meminfo"]);
        let times = [1, 3, 4].map(|index| column(&text, "cpu ", index));
        (column(&text, "MemTotal:", 1), times)
    };
    let (total, mut before) = read();
    assert_eq!(total, 64 * 1024);
    for mebibytes in [128, 32, 96] {
        let bytes = (mebibytes * MI).to_string();
        crictl(&[
            "update",
            "--memory",
            &bytes,
            "--cpu-quota",
            &(mebibytes * 1000).to_string(),
            &container.id,
        ]);
        let (total, times) = read();
        assert_eq!(total, mebibytes * 1024);
        for (old, new) in before.iter().zip(times) {
            assert!(*old <= new, "{before:?} {times:?}");
        }
        before = times;
    }
}

#[test]
fn use_above_a_bound_that_was_lowered_is_no_available_memory() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let mut held = container.spawn_exec(&["sh", "-c", "head -c 33554432 /dev/zero > /dev/shm/a; sleep 1000"]);
    ask_until("the file to be written", || {
        let used: u64 = container.cgroup_file("memory.current").parse().unwrap();
        (used > 31 * MI).then_some(())
    });
    let bound = format!("{}/memory.high", container.process().cgroup());
    std::fs::write(&bound, "20000000").unwrap();
    let text = container.exec(&["cat", "/proc/meminfo"]);
    std::fs::write(&bound, "max").unwrap();
    assert_eq!(column(&text, "MemTotal:", 1), 64 * 1024, "{text}");
    assert_eq!(column(&text, "MemAvailable:", 1), 0, "{text}");
    held.kill().unwrap();
    held.wait().unwrap();
}

#[test]
fn when_the_shim_dies_readers_get_an_error_and_everything_goes() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut endless = limited();
    endless["command"] =
        serde_json::json!(["sh", "-c", "while :; do cat /proc/meminfo /proc/stat > /dev/null 2>&1; done"]);
    let container = pod.start(endless);
    let process = container.process();
    for shim in pod.shims() {
        Process::open(shim).expect("the shim is gone").signal(Signal::KILL);
    }
    process.wait();
    // What kubelet does until it succeeds: the first attempts meet a container that containerd still believes in.
    ask_until("the pod's removal", || {
        (run("crictl", &["rmp", "--force", &pod.id]).code == Some(0)).then_some(())
    });
}
