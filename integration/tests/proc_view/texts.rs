//! How texts are read: in pieces, again, by anybody.

use std::io::{BufRead, BufReader};

use super::{DEBIAN, asking, column, limited, node};
use ballast_integration::testbed::container::BUSYBOX;
use serde_json::json;

#[test]
fn a_busy_container_within_its_quota_is_a_busy_machine() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut busy = limited();
    busy["command"] = json!(["sh", "-c", "while :; do :; done"]);
    let container = pod.start(busy);
    let script = "head -1 /proc/stat; sleep 3; head -1 /proc/stat; cat /proc/loadavg";
    let read = container.exec(&["sh", "-c", script]);
    let lines: Vec<Vec<u64>> = read
        .lines()
        .take(2)
        .map(|line| line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect())
        .collect();
    let used = (lines[1][0] + lines[1][2]) - (lines[0][0] + lines[0][2]);
    let idle = lines[1][3] - lines[0][3];
    // It may use half a CPU and does: little of that half is idle. The node has one CPU for all.
    assert!(used > 60 && idle < used, "{read}");
    let load: f64 = read.lines().nth(2).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(load > 0.01, "{read}");
}

#[test]
fn a_program_that_keeps_its_descriptors_sees_changes() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let mut free = container.spawn_exec(&["free", "-k", "-s", "0.1"]);
    let mut shared_kib = BufReader::new(free.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.starts_with("Mem:"))
        .map(|line| line.split_whitespace().nth(4).unwrap().parse::<u64>().unwrap());
    assert!(shared_kib.next().unwrap() < 16 * 1024);
    container.exec(&["sh", "-c", "head -c 16777216 /dev/zero > /dev/shm/a"]);
    assert!(shared_kib.any(|kib| kib >= 16 * 1024), "it ended before it saw the file");
    end(free);
}

fn end(mut child: std::process::Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn busybox_reads_the_view_a_byte_at_a_time_and_sysinfo_knows_the_uptime() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["image"] = json!({"image": BUSYBOX});
    let container = pod.start(differences);
    let script =
        "while read -r key value unit; do case $key in MemTotal:) echo $value;; esac; done < /proc/meminfo";
    assert_eq!(container.exec(&["sh", "-c", script]), "65536");
    let lines = container.exec(&[
        "sh",
        "-c",
        "while read -r line; do echo \"$line\"; done < /proc/vmstat | wc -l; wc -l < /proc/vmstat",
    ]);
    let counts: Vec<&str> = lines.split_whitespace().collect();
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn an_unprivileged_user_reads_the_view_and_nobody_writes_it() {
    let mut node = node();
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["linux"]["security_context"] = json!({"run_as_user": {"value": 65_534}});
    let container = pod.start(differences);
    assert_eq!(column(&container.exec(&["cat", "/proc/meminfo"]), "MemTotal:", 1), 64 * 1024);
    let outcome = container.try_exec(&["sh", "-c", "echo 1 > /proc/meminfo"]);
    assert_ne!(outcome.code, Some(0));
    let image = json!({"image": {"image": DEBIAN}, "command": ["sleep", "1000"]});
    let unlimited = pod.start(image);
    let host = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = column(&unlimited.exec(&["cat", "/proc/meminfo"]), "MemTotal:", 1);
    assert_eq!(total, column(&host, "MemTotal:", 1), "without a limit the machine is the limit");
}
