//! Programs that ask the kernel by `sysinfo(2)`: busybox, and what glibc's `sysconf` serves.

use super::{MI, MUSL, PROGRAMS, column, limited, node};
use ballast_integration::testbed::command::crictl;
use ballast_integration::testbed::container::{BUSYBOX, Container};
use serde_json::{Value, json};

fn asking_for_sysinfo() -> Value {
    json!({"annotations": {"ballast.dev/sysinfo": "on"}})
}

fn limited_of(image: &str) -> Value {
    let mut container = limited();
    container["image"] = json!({"image": image});
    container
}

fn total_kib(container: &Container) -> u64 {
    column(&container.exec(&["busybox", "free", "-k"]), "Mem:", 1)
}

#[test]
fn busybox_learns_its_limits_and_their_changes_from_the_kernel() {
    let mut node = node();
    let pod = node.pod(asking_for_sysinfo());
    let container = pod.start(limited_of(BUSYBOX));
    container.exec(&["sh", "-c", "head -c 8388608 /dev/zero > /dev/shm/file"]);
    let free = container.exec(&["busybox", "free", "-k"]);
    let used_kib: u64 = container.cgroup_file("memory.current").parse::<u64>().unwrap() / 1024;
    assert_eq!(column(&free, "Mem:", 1), 64 * 1024, "{free}");
    let free_kib = column(&free, "Mem:", 3);
    assert!(free_kib.abs_diff(64 * 1024 - used_kib) < 4 * 1024, "{free}\n{used_kib} KiB used");
    assert!((8 * 1024..12 * 1024).contains(&column(&free, "Mem:", 4)), "{free}");
    let meminfo = container.exec(&["cat", "/proc/meminfo"]);
    assert_eq!(column(&free, "Swap:", 1), column(&meminfo, "SwapTotal:", 1), "{free}{meminfo}");
    crictl(&["update", "--memory", &(96 * MI).to_string(), &container.id]);
    assert_eq!(total_kib(&container), 96 * 1024);
    let uptime = container.exec(&["busybox", "uptime"]);
    let loadavg = container.exec(&["cat", "/proc/loadavg"]);
    let load = |text: &str| -> f64 { text.parse().unwrap() };
    let (_, shown) = uptime.split_once("load average: ").unwrap_or_else(|| panic!("{uptime}"));
    let shown = load(shown.split(',').next().unwrap());
    assert!((shown - load(loadavg.split(' ').next().unwrap())).abs() < 0.2, "{uptime}{loadavg}");
}

#[test]
fn both_c_libraries_learn_it_in_first_processes_and_in_execs() {
    let mut node = node();
    let pod = node.pod(asking_for_sysinfo());
    for image in [PROGRAMS, MUSL] {
        node.pull(image);
        let mut saying = limited_of(image);
        saying["command"] = json!(["sh", "-c", "libc-says; exec sleep 1000"]);
        let container = pod.start(saying);
        container.wait_for_log("sysinfo_uptime");
        // As kubelet starts most: without privileges, and with a profile, which may not stop what is loaded before it.
        let mut confined = limited_of(image);
        confined["linux"]["security_context"] =
            json!({"seccomp": {"profile_type": 0}, "run_as_user": {"value": 1000}, "no_new_privs": true});
        for said in
            [container.logs(), container.exec(&["libc-says"]), pod.start(confined).exec(&["libc-says"])]
        {
            assert_eq!(column(&said, "sysinfo_total_kib", 1), 64 * 1024, "{image}: {said}");
            assert_eq!(column(&said, "physical_kib", 1), 64 * 1024, "{image}: {said}");
            let free_kib = column(&said, "sysinfo_free_kib", 1);
            assert!((32 * 1024..64 * 1024).contains(&free_kib), "{image}: {said}");
            let uptimes = (column(&said, "sysinfo_uptime", 1), column(&said, "clock_uptime", 1));
            assert!(uptimes.0.abs_diff(uptimes.1) <= 2, "{image}: {said}");
        }
    }
}

#[test]
fn who_does_not_ask_is_told_of_the_node_and_mistakes_are_refused_by_name() {
    let mut node = node();
    let pod = node.pod(json!({"annotations": {"ballast.dev/sysinfo.other": "on"}}));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    assert_eq!(total_kib(&pod.start(limited_of(BUSYBOX))), column(&meminfo, "MemTotal:", 1));
    let wrong = json!({"annotations": {"ballast.dev/sysinfo": "true"}});
    let refusal = node.try_pod(wrong).unwrap_err();
    assert!(refusal.contains("ballast.dev/sysinfo") && refusal.contains("true"), "{refusal}");
}
