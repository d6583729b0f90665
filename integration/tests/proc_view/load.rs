//! A known load, as the view counts it.

use super::{MI, PROGRAMS, asking, column, limited, node};
use ballast_integration::testbed::command::crictl;
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::process::ask_until;
use serde_json::json;

/// The view's texts between two looks at the cgroup, all of one command.
const SAMPLE: &str = "cd /sys/fs/cgroup; cat cpu.stat memory.current /proc/stat /proc/meminfo /proc/loadavg /proc/uptime; \
                      echo again; cat cpu.stat memory.current pids.current";

/// One tick of `/proc/stat`.
const TICK_USEC: u64 = 10_000;

/// What the cgroup says before and after, and the view in between.
#[derive(Debug)]
struct Sample {
    /// CPU time used by the container, in microseconds.
    usage_usec: [u64; 2],
    memory_kib: [u64; 2],
    /// Columns of the line `cpu`: user, nice, system, idle.
    ticks: [u64; 4],
    free_kib: u64,
    load: f64,
    tasks: u64,
    pids: u64,
    uptime_s: f64,
}

impl Sample {
    fn take(container: &Container) -> Self {
        let text = container.exec(&["sh", "-c", SAMPLE]);
        let (first, second) = text.split_once("again\n").unwrap();
        let both = |line| [column(first, line, 1), column(second, line, 1)];
        let plain: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let [memory_before, memory_after, pids] = plain[..] else { panic!("{text}") };
        let words: Vec<&str> = first.lines().rev().nth(1).unwrap().split(' ').collect();
        let uptime = first.lines().next_back().unwrap().split(' ').next().unwrap();
        Self {
            usage_usec: both("usage_usec"),
            memory_kib: [memory_before / 1024, memory_after / 1024],
            ticks: [1, 2, 3, 4].map(|index| column(first, "cpu ", index)),
            free_kib: column(first, "MemFree:", 1),
            load: words[0].parse().unwrap(),
            tasks: words[3].split('/').nth(1).unwrap().parse().unwrap(),
            pids,
            uptime_s: uptime.parse().unwrap(),
        }
    }

    fn used_usec(&self) -> u64 {
        self.ticks[..3].iter().sum::<u64>() * TICK_USEC
    }

    /// What agrees with the cgroup at this moment.
    #[track_caller]
    fn check_against_the_cgroup(&self) {
        let expected = self.memory_kib.map(|used| 64 * 1024 - used);
        let [least, most] = [expected.iter().min().unwrap(), expected.iter().max().unwrap()];
        assert!((least - 1024..=most + 1024).contains(&self.free_kib), "{self:?}");
        // The commands of the sample are among them.
        assert!(self.tasks.abs_diff(self.pids) <= 1, "{self:?}");
        // Nothing ran but this load, as the kernel's decay shows it.
        let mean = self.usage_usec[1] as f64 / 1e6 / self.uptime_s;
        let expected = mean * (1.0 - (-self.uptime_s / 60.0).exp());
        // Where the kernel counts the time that tasks waited for a CPU, that is load as well.
        let waited = if std::path::Path::new("/proc/pressure/cpu").exists() { 1.0 } else { 0.0 };
        let range = expected * 0.5 - 0.01..=expected * 1.5 + waited + 0.01;
        assert!(range.contains(&self.load), "{range:?} {self:?}");
    }
}

/// Waits until the container has used so much CPU time; no counter goes back meanwhile.
#[track_caller]
fn follow(container: &Container, from: &Sample, usec: u64) -> Sample {
    let mut before = from.ticks;
    ask_until("the load", || {
        let sample = Sample::take(container);
        assert!(before.iter().zip(sample.ticks).all(|(old, new)| *old <= new), "{before:?} {sample:?}");
        before = sample.ticks;
        (sample.usage_usec[0] >= from.usage_usec[0] + usec).then_some(sample)
    })
}

/// Within two hundredths, and the ticks that both ends are cut to.
#[track_caller]
fn assert_agree(begin: &Sample, end: &Sample) {
    let shown = end.used_usec() - begin.used_usec();
    let least = end.usage_usec[0] - begin.usage_usec[1];
    let most = end.usage_usec[1] - begin.usage_usec[0];
    let range = least * 98 / 100 - 4 * TICK_USEC..=most * 102 / 100 + 4 * TICK_USEC;
    assert!(range.contains(&shown), "{shown} is not in {range:?}: {begin:?} {end:?}");
}

#[test]
fn cpu_time_agrees_with_the_cgroup_within_two_hundredths_across_an_update() {
    let mut node = node();
    node.pull(PROGRAMS);
    let pod = node.pod(asking());
    let mut differences = limited();
    differences["image"] = json!({"image": PROGRAMS});
    let memory = (16 * MI).to_string();
    differences["command"] =
        json!(["stress-ng", "--cpu", "1", "--vm", "1", "--vm-bytes", memory, "--vm-keep"]);
    let container = pod.start(differences);
    let begin = Sample::take(&container);
    let middle = follow(&container, &begin, 2_500_000);
    middle.check_against_the_cgroup();
    assert_agree(&begin, &middle);
    // It may use half a CPU and does: hardly any of that half is idle. The node has one CPU for all.
    let (used, idle) =
        (middle.used_usec() - begin.used_usec(), (middle.ticks[3] - begin.ticks[3]) * TICK_USEC);
    assert!(idle * 2 < used, "{begin:?} {middle:?}");
    crictl(&["update", "--cpu-quota", "40000", &container.id]);
    let end = follow(&container, &middle, 1_500_000);
    end.check_against_the_cgroup();
    assert_agree(&middle, &end);
    assert_agree(&begin, &end);
}
