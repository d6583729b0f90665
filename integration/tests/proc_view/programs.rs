//! What ordinary programs say about their machine, beside what is so: one table of programs, of two C libraries and four language
//! runtimes, in a container with limits and in one without.

use super::truth::{Bounds, Figure, Source, Truth, Watch};
use super::{MI, MUSL, PROGRAMS, asking, node};
use ballast_integration::testbed::container::Container;
use serde_json::{Value, json};

use Figure::{
    AvailableKib, BootedS, Cpus, FreeKib, InitRanS, InitStartedS, Load, SwapKib, TotalKib, UptimeS,
};
use Source::{Files, Kernel, Sysinfo};

/// Where in what a program prints a figure stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the line that begins so, the word of this index.
    Word(&'static str, usize),
    /// The word of this index in the line of this index.
    At(usize, usize),
    /// Right after these words.
    After(&'static str),
    /// Right before these words.
    Before(&'static str),
}

/// One figure that a program tells.
#[derive(Clone, Copy, Debug)]
struct Told {
    figure: Figure,
    source: Source,
    place: Place,
    /// How many of the figure's units are one of the program's.
    scale: f64,
    /// To how many of the figure's units it rounds.
    rounded: f64,
}

const fn told(figure: Figure, source: Source, place: Place) -> Told {
    Told { figure, source, place, scale: 1.0, rounded: 1.0 }
}

/// In MiB with one decimal.
const fn told_in_mib(figure: Figure, source: Source, place: Place) -> Told {
    Told { figure, source, place, scale: 1024.0, rounded: 103.0 }
}

/// In bytes.
const fn told_in_bytes(figure: Figure, source: Source, place: Place) -> Told {
    Told { figure, source, place, scale: 1.0 / 1024.0, rounded: 1.0 }
}

/// A program and what it tells.
struct Program {
    image: &'static str,
    command: &'static [&'static str],
    tells: &'static [Told],
}

use Place::{After, At, Before, Word};

const PYTHON: &str = "
import os, psutil
print('cpus', os.cpu_count(), os.sysconf('SC_NPROCESSORS_ONLN'), os.sysconf('SC_NPROCESSORS_CONF'), psutil.cpu_count())
print('total', psutil.virtual_memory().total, os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
print('free', psutil.virtual_memory().free)
print('available', psutil.virtual_memory().available)
print('swap', psutil.swap_memory().total)
print('booted', psutil.boot_time())
print('started', psutil.Process(1).create_time())
print('load', os.getloadavg()[0], psutil.getloadavg()[0])
print('times', sum(psutil.cpu_times()))
";

const NODE: &str = "
const os = require('os');
console.log('cpus', os.cpus().length, os.availableParallelism());
console.log('total', os.totalmem());
console.log('free', os.freemem());
console.log('uptime', os.uptime());
console.log('load', os.loadavg()[0]);
";

const TABLE: &[Program] = &[
    Program {
        image: PROGRAMS,
        command: &["free", "-k"],
        tells: &[
            told(TotalKib, Files, Word("Mem:", 1)),
            told(FreeKib, Files, Word("Mem:", 3)),
            told(AvailableKib, Files, Word("Mem:", 6)),
            told(SwapKib, Files, Word("Swap:", 1)),
        ],
    },
    Program {
        image: PROGRAMS,
        command: &["top", "-bn1"],
        tells: &[
            told_in_mib(TotalKib, Files, Word("MiB Mem", 3)),
            told_in_mib(FreeKib, Files, Word("MiB Mem", 5)),
            told_in_mib(AvailableKib, Files, Before("avail Mem")),
            told_in_mib(SwapKib, Files, Word("MiB Swap", 2)),
            told(Load, Files, After("load average:")),
        ],
    },
    Program {
        image: PROGRAMS,
        command: &["vmstat"],
        tells: &[told(FreeKib, Files, At(2, 3)), told(SwapKib, Files, At(2, 2))],
    },
    Program {
        image: PROGRAMS,
        command: &["vmstat", "-s", "-S", "K"],
        tells: &[
            told(TotalKib, Files, Before("K total memory")),
            told(FreeKib, Files, Before("K free memory")),
            told(BootedS, Files, Before("boot time")),
        ],
    },
    Program {
        image: PROGRAMS,
        command: &["sh", "-c", "uptime; date -d \"$(uptime -s)\" +%s"],
        tells: &[told(Load, Files, After("load average:")), told(BootedS, Files, At(1, 0))],
    },
    Program {
        image: PROGRAMS,
        command: &["sh", "-c", "nproc; nproc --all"],
        tells: &[told(Cpus, Kernel, At(0, 0)), told(Cpus, Files, At(1, 0))],
    },
    Program { image: PROGRAMS, command: &["lscpu"], tells: &[told(Cpus, Files, Word("CPU(s):", 1))] },
    Program {
        image: PROGRAMS,
        command: &["sh", "-c", "ps -o etimes= -p 1; date -d \"$(ps -o lstart= -p 1)\" +%s; ps -ef"],
        tells: &[told(InitRanS, Files, At(0, 0)), told(InitStartedS, Files, At(1, 0))],
    },
    Program {
        image: PROGRAMS,
        command: &["python3", "-c", PYTHON],
        tells: &[
            told(Cpus, Files, Word("cpus", 1)),
            told(Cpus, Files, Word("cpus", 2)),
            told(Cpus, Files, Word("cpus", 3)),
            told(Cpus, Files, Word("cpus", 4)),
            told_in_bytes(TotalKib, Files, Word("total", 1)),
            told_in_bytes(TotalKib, Sysinfo, Word("total", 2)),
            told_in_bytes(FreeKib, Files, Word("free", 1)),
            told_in_bytes(AvailableKib, Files, Word("available", 1)),
            told_in_bytes(SwapKib, Files, Word("swap", 1)),
            told(BootedS, Files, Word("booted", 1)),
            told(InitStartedS, Files, Word("started", 1)),
            told(Load, Sysinfo, Word("load", 1)),
            told(Load, Sysinfo, Word("load", 2)),
        ],
    },
    Program {
        image: PROGRAMS,
        command: &["node", "-e", NODE],
        tells: &[
            told(Cpus, Files, Word("cpus", 1)),
            told(Cpus, Kernel, Word("cpus", 2)),
            told_in_bytes(TotalKib, Files, Word("total", 1)),
            // It takes that for free which is available.
            told_in_bytes(AvailableKib, Files, Word("free", 1)),
            told(UptimeS, Files, Word("uptime", 1)),
            told(Load, Files, Word("load", 1)),
        ],
    },
    Program {
        image: PROGRAMS,
        command: &["java", "-XshowSettings:system", "-version"],
        tells: &[told(Cpus, Files, After("Effective CPU Count:"))],
    },
    Program {
        image: PROGRAMS,
        command: &["libc-says"],
        tells: &[
            told(Cpus, Files, Word("processors_online", 1)),
            told(Cpus, Files, Word("processors_configured", 1)),
            told(Cpus, Kernel, Word("affinity", 1)),
            told(TotalKib, Sysinfo, Word("physical_kib", 1)),
            told(FreeKib, Sysinfo, Word("available_kib", 1)),
            told(TotalKib, Sysinfo, Word("sysinfo_total_kib", 1)),
            told(UptimeS, Sysinfo, Word("sysinfo_uptime", 1)),
            told(UptimeS, Kernel, Word("clock_uptime", 1)),
            told(Load, Sysinfo, Word("load", 1)),
        ],
    },
    Program {
        image: MUSL,
        command: &["libc-says"],
        tells: &[
            told(Cpus, Kernel, Word("processors_online", 1)),
            told(Cpus, Kernel, Word("affinity", 1)),
            told(TotalKib, Sysinfo, Word("physical_kib", 1)),
            told(TotalKib, Sysinfo, Word("sysinfo_total_kib", 1)),
            told(UptimeS, Sysinfo, Word("sysinfo_uptime", 1)),
            told(UptimeS, Kernel, Word("clock_uptime", 1)),
            told(Load, Sysinfo, Word("load", 1)),
        ],
    },
    Program {
        image: MUSL,
        command: &["free", "-k"],
        tells: &[told(TotalKib, Sysinfo, Word("Mem:", 1)), told(AvailableKib, Files, Word("Mem:", 6))],
    },
    Program {
        image: MUSL,
        command: &["top", "-bn1"],
        tells: &[told(FreeKib, Files, Before("K free,")), told(Load, Files, After("Load average:"))],
    },
    Program {
        image: MUSL,
        command: &["sh", "-c", "cut -d. -f1 /proc/uptime; uptime; nproc; ps"],
        tells: &[told(UptimeS, Files, At(0, 0)), told(Cpus, Kernel, At(2, 0))],
    },
];

/// The number at a place; `None` when there is none.
fn find(text: &str, place: Place) -> Option<f64> {
    let word = match place {
        Word(line, index) => text
            .lines()
            .find(|candidate| candidate.trim_start().starts_with(line))?
            .split_whitespace()
            .nth(index),
        At(line, index) => text.lines().nth(line)?.split_whitespace().nth(index),
        After(words) => text.split_once(words)?.1.split_whitespace().next(),
        Before(words) => text.split_once(words)?.0.split_whitespace().next_back(),
    };
    word?.trim_matches(|character: char| !character.is_ascii_digit()).parse().ok()
}

/// What is wrong with what a program told.
fn contradictions(program: &Program, output: &str, truth: &Truth) -> Vec<String> {
    let wrong = |told: &Told| {
        let range = truth.of(told.figure, told.source);
        match find(output, told.place) {
            None => Some(format!("{:?} is missing at {:?}", told.figure, told.place)),
            Some(number) if range.allows(number * told.scale, told.rounded) => None,
            Some(number) => {
                Some(format!("{:?} ({:?}) is {}, not {range}", told.figure, told.source, number * told.scale))
            }
        }
    };
    program.tells.iter().filter_map(wrong).collect()
}

/// Runs every program of a table in containers with these resources; panics with all that was wrong.
#[track_caller]
fn check_all(resources: Value, bounds: Bounds) {
    let mut node = node();
    let mut asking = asking();
    if bounds.sysinfo {
        asking["annotations"]["ballast.dev/sysinfo"] = json!("on");
    }
    let pod = node.pod(asking);
    let mut wrong = Vec::new();
    for image in [PROGRAMS, MUSL] {
        node.pull(image);
        let container = pod.start(json!({
            "image": {"image": image}, "command": ["sleep", "1000"], "linux": {"resources": resources.clone()},
        }));
        for program in TABLE.iter().filter(|program| program.image == image) {
            check(program, &container, bounds, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn check(program: &Program, container: &Container, bounds: Bounds, wrong: &mut Vec<String>) {
    let watch = Watch::begin(container, bounds);
    let outcome = container.try_exec(program.command);
    let truth = watch.end();
    let output = outcome.stdout + &outcome.stderr;
    let mut found = contradictions(program, &output, &truth);
    if outcome.code != Some(0) {
        found.push(format!("it ended with {:?}", outcome.code));
    }
    if !found.is_empty() {
        wrong.push(format!(
            "{:?} in {}: {}\n{output}{truth:?}",
            program.command,
            program.image,
            found.join("; ")
        ));
    }
}

const LIMIT_BYTES: u64 = 256 * MI;

fn limits() -> Value {
    json!({"memory_limit_in_bytes": LIMIT_BYTES, "cpu_period": 100_000, "cpu_quota": 80_000})
}

#[test]
fn programs_agree_with_the_cgroup_of_a_container_with_limits() {
    check_all(limits(), Bounds { memory_bytes: Some(LIMIT_BYTES), cpus: Some(1), sysinfo: false });
}

#[test]
fn programs_agree_with_the_cgroup_in_every_figure_where_sysinfo_tells_of_the_container() {
    check_all(limits(), Bounds { memory_bytes: Some(LIMIT_BYTES), cpus: Some(1), sysinfo: true });
}

#[test]
fn programs_agree_with_the_node_in_a_container_without_limits() {
    check_all(json!({}), Bounds { memory_bytes: None, cpus: None, sysinfo: false });
}
