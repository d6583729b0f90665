//! Pressure stall information: the files of a view, and what the load averages make of it.

use super::bundle::{Bundle, Streams, find_cgroup_mount, wait};
use super::{ConditionalTest, Test};
use ballast_runtime::Runtime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::write;
use serde_json::json;
use std::fs::{File, OpenOptions, read_to_string};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub const TESTS: &[ConditionalTest] = &[
    ("the_pressure_files_of_a_view_are_the_cgroups_own_and_read_only", own as Test, obstacle),
    ("tasks_that_wait_for_a_cpu_are_told_by_poll_and_are_load", load, obstacle),
];

fn obstacle() -> Option<String> {
    let file = find_cgroup_mount().join("ballast");
    std::fs::create_dir_all(&file).unwrap();
    let error = File::open(file.join("cpu.pressure")).and_then(|mut file| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text).map(drop)
    });
    error.err().map(|error| format!("the kernel has no pressure of cgroups: {error}"))
}

fn with_view(script: &str) -> Bundle {
    Bundle::new(script).set("/annotations", json!({"ballast.dev/proc-view": "on"}))
}

fn cgroup(bundle: &Bundle) -> PathBuf {
    find_cgroup_mount().join("ballast").join(&bundle.id)
}

fn own(runtime: &Arc<Runtime>) {
    let bundle = with_view("");
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    for resource in ["cpu", "io", "memory"] {
        let shown = format!("/proc/{}/root/proc/pressure/{resource}", init.pid());
        let of_cgroup = cgroup(&bundle).join(format!("{resource}.pressure"));
        let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).unwrap();
        assert_eq!(identity(Path::new(&shown)), identity(&of_cgroup), "{resource}");
        assert!(read_to_string(&shown).unwrap().starts_with("some avg10="), "{resource}");
        let refused = OpenOptions::new().write(true).open(&shown).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem, "{resource}");
    }
    init.signal(9).unwrap();
    wait(&init);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}

fn number(text: &str, key: &str) -> u32 {
    let value = text.split_whitespace().skip_while(|word| *word != key).nth(1).unwrap();
    value.parse().unwrap()
}

/// Seconds in which some task waited.
fn waited(cgroup: &Path) -> f64 {
    let text = read_to_string(cgroup.join("cpu.pressure")).unwrap();
    f64::from(number(&text.replace('=', " "), "total")) / 1e6
}

/// Seconds of CPU time.
fn used(cgroup: &Path) -> f64 {
    f64::from(number(&read_to_string(cgroup.join("cpu.stat")).unwrap(), "usage_usec")) / 1e6
}

fn load(runtime: &Arc<Runtime>) {
    let script = "cpu=$(taskset -cp $$ | sed 's/.*: //; s/[^0-9].*//'); \
        for one in 1 2 3; do taskset -c $cpu sh -c 'while :; do :; done' & done; wait";
    let bundle = with_view(script);
    let began = Instant::now();
    let (container, init) = bundle.create(runtime, Streams::new().io()).unwrap();
    let cgroup = cgroup(&bundle);
    // As a monitor of the node does, of the file that the container sees.
    let pressure = OpenOptions::new().read(true).write(true).open(cgroup.join("cpu.pressure")).unwrap();
    write(&pressure, b"some 5000000 10000000\0").unwrap();
    init.start().unwrap();
    let bound = Timespec { tv_sec: 300, tv_nsec: 0 };
    let mut event = [PollFd::new(&pressure, PollFlags::PRI)];
    assert_eq!(poll(&mut event, Some(&bound)), Ok(1), "they wait for each other");

    let before = waited(&cgroup);
    let text = read_to_string(format!("/proc/{}/root/proc/loadavg", init.pid())).unwrap();
    let (used, after, elapsed) = (used(&cgroup), waited(&cgroup), began.elapsed().as_secs_f64());
    let of_a_minute: f64 = text.split(' ').next().unwrap().parse().unwrap();
    // Of the first minute of a load of one.
    let share = (1.0 - (-elapsed / 60.0).exp()) / elapsed;
    assert!(before > 4.0, "{before}");
    let least = (used + before / 2.0) * share;
    assert!(of_a_minute > least, "{text}: {used} s used, {before} to {after} s waited of {elapsed} s");
    let most = (used + after + 5.0) / 60.0;
    assert!(of_a_minute < most, "{text}: {used} s used, {before} to {after} s waited of {elapsed} s");
    container.signal_all(9).unwrap();
    wait(&init);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}
