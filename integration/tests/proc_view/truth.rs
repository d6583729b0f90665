//! What is so about a container while a program looks at it: bounds for each figure that programs tell, from its cgroup's files, the
//! node's own `/proc` and its first process. Knows no program.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use super::column;
use ballast_integration::testbed::container::Container;

/// A number that programs tell of the machine that they are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    TotalKib,
    FreeKib,
    AvailableKib,
    SwapKib,
    Cpus,
    /// Since the boot.
    UptimeS,
    /// When the boot was, since 1970.
    BootedS,
    /// How long the container's first process has run.
    InitRanS,
    /// When it was started, since 1970.
    InitStartedS,
    /// The load of the last minute.
    Load,
}

/// Where a program has a figure from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files below `/proc` and `/sys`, or those of the cgroup: the container's.
    Files,
    /// `sysinfo(2)`, which no file changes: the node's, unless the container is told of itself there, too. But for the uptime,
    /// which is of the container's time namespace.
    Sysinfo,
    /// `sched_getaffinity(2)`, or the time namespace's clock.
    Kernel,
}

/// What a container is bounded by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// `None`: the node's memory is the bound.
    pub(crate) memory_bytes: Option<u64>,
    /// `None`: all of the node's.
    pub(crate) cpus: Option<u32>,
    /// Whether `sysinfo(2)` tells of the container.
    pub(crate) sysinfo: bool,
}

/// The programs themselves, and the cache of what they read: what the node's memory may change by under a program that is in no bound.
const NODE_SLACK_KIB: f64 = 256.0 * 1024.0;
/// Of a cgroup: what the kernel charges ahead.
const CGROUP_SLACK_KIB: f64 = 1024.0;
/// Clocks are read one after the other, and shown in whole seconds.
const CLOCK_SLACK_S: f64 = 2.0;

/// One look at everything.
#[derive(Clone, Copy, Debug)]
struct Moment {
    used_kib: f64,
    node_total_kib: f64,
    node_free_kib: f64,
    node_available_kib: f64,
    now_s: f64,
    init_ran_s: f64,
}

impl Moment {
    fn of(container: &Container) -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let kib = |line| column(&meminfo, line, 1) as f64;
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let node_uptime_s: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let stat = container.process().read("stat");
        // The 22nd field; the second may have blanks.
        let ticks: f64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        Self {
            used_kib: container.cgroup_file("memory.current").parse::<f64>().unwrap() / 1024.0,
            node_total_kib: kib("MemTotal:"),
            node_free_kib: kib("MemFree:"),
            node_available_kib: kib("MemAvailable:"),
            now_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64(),
            init_ran_s: node_uptime_s - ticks / 100.0,
        }
    }
}

/// A container while a program runs in it.
pub(crate) struct Watch<'a> {
    container: &'a Container,
    bounds: Bounds,
    before: Moment,
    peak: File,
}

impl<'a> Watch<'a> {
    pub(crate) fn begin(container: &'a Container, bounds: Bounds) -> Self {
        let path = format!("{}/memory.peak", container.process().cgroup());
        let mut peak = File::options().read(true).write(true).open(&path).unwrap();
        // Of this descriptor, since Linux 6.12. Before that the peak is of the whole life, a wider bound.
        let _narrower = peak.write_all(b"reset");
        Self { container, bounds, before: Moment::of(container), peak }
    }

    pub(crate) fn end(self) -> Truth {
        let mut content = [0; 32];
        let length = self.peak.read_at(&mut content, 0).unwrap();
        let peak_bytes: f64 = std::str::from_utf8(&content[..length]).unwrap().trim().parse().unwrap();
        Truth {
            bounds: self.bounds,
            before: self.before,
            after: Moment::of(self.container),
            peak_kib: peak_bytes / 1024.0,
        }
    }
}

/// What was so while the program ran.
#[derive(Debug)]
pub(crate) struct Truth {
    bounds: Bounds,
    before: Moment,
    after: Moment,
    peak_kib: f64,
}

/// From and to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range(f64, f64);

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} to {}", self.0, self.1)
    }
}

impl Range {
    /// Whether a program that rounds to a `unit` may say so.
    pub(crate) fn allows(self, said: f64, unit: f64) -> bool {
        (self.0 - unit..=self.1 + unit).contains(&said)
    }

    fn exactly(value: f64) -> Self {
        Self(value, value)
    }

    fn widened(self, slack: f64) -> Self {
        Self((self.0 - slack).max(0.0), self.1 + slack)
    }
}

impl Truth {
    /// What a program may say.
    pub(crate) fn of(&self, figure: Figure, source: Source) -> Range {
        let of_container = match source {
            Source::Files => true,
            Source::Sysinfo => self.bounds.sysinfo,
            Source::Kernel => false,
        };
        let bound_kib = self.bounds.memory_bytes.filter(|_| of_container).map(|bytes| (bytes / 1024) as f64);
        match figure {
            Figure::TotalKib => Range::exactly(bound_kib.unwrap_or(self.before.node_total_kib)),
            Figure::FreeKib => match bound_kib {
                Some(bound) => self.free_kib(bound),
                None => self.between(|moment| moment.node_free_kib).widened(NODE_SLACK_KIB),
            },
            Figure::AvailableKib => match bound_kib {
                Some(bound) => Range(self.free_kib(bound).0, bound),
                None => self.between(|moment| moment.node_available_kib).widened(NODE_SLACK_KIB),
            },
            Figure::SwapKib => Range::exactly(0.0),
            Figure::Cpus => {
                Range::exactly(self.bounds.cpus.filter(|_| of_container).map_or(node_cpus(), f64::from))
            }
            Figure::UptimeS | Figure::InitRanS => {
                self.between(|moment| moment.init_ran_s).widened(CLOCK_SLACK_S)
            }
            Figure::BootedS | Figure::InitStartedS => {
                self.between(|moment| moment.now_s - moment.init_ran_s).widened(CLOCK_SLACK_S)
            }
            // One program at a time runs in the container, and may have to wait for its turn.
            Figure::Load if of_container => Range(0.0, 2.0),
            Figure::Load => Range(0.0, f64::MAX),
        }
    }

    fn free_kib(&self, bound_kib: f64) -> Range {
        let least_use = self.before.used_kib.min(self.after.used_kib);
        Range(bound_kib - self.peak_kib, bound_kib - least_use).widened(CGROUP_SLACK_KIB)
    }

    fn between(&self, of: fn(&Moment) -> f64) -> Range {
        let (before, after) = (of(&self.before), of(&self.after));
        Range(before.min(after), before.max(after))
    }
}

fn node_cpus() -> f64 {
    std::thread::available_parallelism().unwrap().get() as f64
}
