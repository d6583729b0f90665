//! What programs say.

use std::io::{BufRead, BufReader};

use super::{DEBIAN, asking, column, limited, node};
use ballast_integration::testbed::container::BUSYBOX;
use serde_json::json;

#[test]
fn free_agrees_with_the_memory_cgroup() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    // Something to see: a file in the page cache that is no tmpfs of another's.
    container.exec(&["sh", "-c", "head -c 8388608 /dev/zero > /dev/shm/file"]);
    let free = container.exec(&["free", "-k"]);
    let used_bytes: u64 = container.cgroup_file("memory.current").parse().unwrap();
    assert_eq!(column(&free, "Mem:", 1), 64 * 1024, "{free}");
    let shown_free_kib = column(&free, "Mem:", 3);
    let expected_free_kib = 64 * 1024 - used_bytes / 1024;
    assert!(shown_free_kib.abs_diff(expected_free_kib) < 4 * 1024, "{free}\n{used_bytes} used");
    let shared_kib = column(&free, "Mem:", 4);
    assert!((8 * 1024..12 * 1024).contains(&shared_kib), "{free}");
    let available_kib = column(&free, "Mem:", 6);
    assert!(available_kib >= shown_free_kib && available_kib <= 64 * 1024, "{free}");
    let host = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert!(column(&host, "MemTotal:", 1) > 64 * 1024);
}

#[test]
fn every_way_to_count_cpus_that_reads_files_gives_the_same_number() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let script = "grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; \
                   nproc --all; cat /sys/devices/system/cpu/online /sys/devices/system/cpu/possible";
    assert_eq!(
        container.exec(&["sh", "-c", script]).split_whitespace().collect::<Vec<_>>(),
        ["1", "1", "1", "0", "0"]
    );
    let lscpu = container.exec(&["lscpu"]);
    assert_eq!(column(&lscpu, "CPU(s):", 1), 1, "{lscpu}");
}

#[test]
fn uptime_top_vmstat_and_ps_read_the_view_and_agree_on_the_time() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let script = "cut -d. -f1 /proc/uptime; date +%s; grep ^btime /proc/stat | cut -d' ' -f2; ps -o etimes= -p 1; cut -d. -f1 /proc/uptime";
    let read = container.exec(&["sh", "-c", script]);
    let read: Vec<i64> = read.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [before, now, booted, elapsed, uptime] = read[..] else { panic!("{read:?}") };
    assert!((before - 2..=uptime + 2).contains(&(now - booted)), "{read:?}");
    assert!((0..=uptime).contains(&elapsed), "{read:?}");
    let node_uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let node_uptime: f64 = node_uptime.split_whitespace().next().unwrap().parse().unwrap();
    assert!(uptime as f64 <= node_uptime, "{read:?}, node {node_uptime}");

    assert!(container.exec(&["uptime"]).contains("load average:"));
    let top = container.exec(&["top", "-bn1"]);
    // On user-mode Linux procps cannot read the kernel's own /proc/stat either: `top` then leaves its summary out.
    let plain = pod.start(json!({"image": {"image": DEBIAN}, "command": ["sleep", "1000"]}));
    let plain_top = plain.exec(&["top", "-bn1"]);
    assert_eq!(top.contains("MiB Mem"), plain_top.contains("MiB Mem"), "{top}\n{plain_top}");
    assert!(!plain_top.contains("MiB Mem") || top.contains("MiB Mem :     64.0 total"), "{top}");
    let (vmstat, plain_vmstat) = (container.try_exec(&["vmstat"]), plain.try_exec(&["vmstat"]));
    assert_eq!(vmstat.code, plain_vmstat.code, "{vmstat:?}\n{plain_vmstat:?}");
    let idle_kib = |vmstat: &str| {
        vmstat.lines().nth(2).unwrap().split_whitespace().nth(3).unwrap().parse::<u64>().unwrap()
    };
    assert!(vmstat.code != Some(0) || idle_kib(&vmstat.stdout) <= 64 * 1024, "{vmstat:?}");
    let (list, plain_list) = (container.try_exec(&["ps", "-ef"]), plain.try_exec(&["ps", "-ef"]));
    assert_eq!(list.code, plain_list.code, "{list:?}\n{plain_list:?}");
    assert!(list.code != Some(0) || list.stdout.contains("sleep 1000"), "{list:?}");
}

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
