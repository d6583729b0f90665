//! What a view shows when its container's bounds are changed.

use std::io::{BufRead, BufReader};

use super::{MI, PROGRAMS, asking, column, limited, node};
use ballast_integration::testbed::command::{crictl, finish};
use ballast_integration::testbed::process::ask_until;
use serde_json::json;

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

/// Reads until it has seen so many sizes of memory; prints each size that is new, and fails when a counter goes back.
const WATCH: &str = "
import os, sys
seen, before = [], []
stat = os.open('/proc/stat', os.O_RDONLY)
while len(seen) < int(sys.argv[1]):
    now = [int(word) for word in os.pread(stat, 1 << 16, 0).split(b'\\n')[0].split()[1:]]
    if any(new < old for old, new in zip(before, now)):
        sys.exit(f'{before} {now}')
    before = now
    with open('/proc/meminfo') as file:
        total, free, available = [int(file.readline().split()[1]) for _ in range(3)]
    if free > total or available > total:
        sys.exit(f'{total} {free} {available}')
    if total not in seen:
        seen.append(total)
        print(total, flush=True)
";

#[test]
fn readers_see_each_update_while_it_is_made_and_nothing_in_between() {
    let mut node = node();
    node.pull(PROGRAMS);
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["image"] = json!({"image": PROGRAMS});
    let container = pod.start(differences);
    let sizes_mib = [64, 128, 48, 96];
    let mut watch = container.spawn_exec(&["python3", "-c", WATCH, &sizes_mib.len().to_string()]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for (index, mebibytes) in sizes_mib.into_iter().enumerate() {
        if index > 0 {
            let (bytes, quota) = ((mebibytes * MI).to_string(), (mebibytes * 1000).to_string());
            crictl(&["update", "--memory", &bytes, "--cpu-quota", &quota, &container.id]);
        }
        let line = lines.next().map(Result::unwrap);
        assert_eq!(line, Some((mebibytes * 1024).to_string()));
    }
    finish(watch).expect_success("the watch");
}
