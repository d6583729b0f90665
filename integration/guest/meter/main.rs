//! Operation what a shim does for containerd's requests: the system calls and the instructions of the shim, its spawner and
//! each new process until its `execve`, and the memory that is left dirty.
//!
//! `meter syscalls|instructions SHIM` prints one line. Nothing here looks at a clock, so a loaded machine counts the same.
//! Knows the shim by containerd's contract only, and no budget.
#![forbid(unsafe_code)]

mod bundle;
mod memory;
mod pod;
mod symbols;
mod tracer;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ballast_integration::gate::measured::{Measured, Operation, PREFIX};
use ballast_integration::node::cpu;
use rustix::thread::{CpuSet, sched_setaffinity};

use bundle::Limits;
use pod::Pod;
use symbols::Symbols;
use tracer::{Pace, Trace, trace};

/// Rounds before those that count: what is made once per pod is no operation's cost.
const WARM_UP: usize = 2;
/// Rounds in which system calls are counted. What depends on who of two threads is faster differs between rounds; the
/// least of them all does not.
const ROUNDS: usize = 16;
/// Rounds in which every instruction is counted.
const STEPPED_ROUNDS: usize = 2;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pace, shim) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["syscalls", shim] => (Pace::Syscalls, Path::new(shim)),
        ["instructions", shim] => (Pace::Instructions, Path::new(shim)),
        _ => bail!("usage: meter syscalls|instructions SHIM"),
    };
    stay_on_one_cpu()?;
    let pod = Pod::start(shim, pace.limits())?;
    let measured = measure(&pod, pace, &Symbols::read(shim)?);
    let ended = pod.end();
    let measured = measured?;
    ended?;
    println!("{PREFIX}{}", serde_json::to_string(&measured).context("encode the results")?);
    Ok(())
}

/// For everything that is started from now on. Whoever is traced and who traces take turns, and a turn that wakes another, idle
/// CPU takes many times as long: on a virtual machine with two, stepping took more than ten minutes, and two on one.
fn stay_on_one_cpu() -> Result<()> {
    let mut one = CpuSet::new();
    one.set(*cpu::usable()?.last().context("no CPU is usable")?);
    sched_setaffinity(None, &one).context("stay on one CPU")
}

impl Pace {
    /// A machine whose cgroups have no controllers can step, and there is nothing to be seen of one that has.
    fn limits(self) -> Limits {
        match self {
            Self::Syscalls => Limits::Some,
            Self::Instructions => Limits::None,
        }
    }

    fn rounds(self) -> usize {
        match self {
            Self::Syscalls => ROUNDS,
            Self::Instructions => STEPPED_ROUNDS,
        }
    }

    fn counts(self, trace: &Trace, symbols: &Symbols) -> Operation {
        match self {
            Self::Syscalls => trace.syscalls(),
            Self::Instructions => trace.instructions(symbols),
        }
    }
}

fn measure(pod: &Pod, pace: Pace, symbols: &Symbols) -> Result<Measured> {
    for _ in 0..WARM_UP {
        for step in Step::ALL {
            step.run(pod)?;
        }
    }
    let mut operations = BTreeMap::new();
    for _ in 0..pace.rounds() {
        for step in Step::ALL {
            let trace = trace(pod.processes(), pace, || step.run(pod))
                .with_context(|| format!("trace the step `{}`", step.name()))?;
            let counts = pace.counts(&trace, symbols);
            match operations.entry(step.name().to_owned()) {
                Entry::Vacant(first) => drop(first.insert(counts)),
                Entry::Occupied(mut least) => keep_least(least.get_mut(), &counts),
            }
        }
    }
    Ok(Measured { operations, memory: memory::of(pod.processes())? })
}

/// Leaves what both have in common.
fn keep_least(least: &mut Operation, other: &Operation) {
    least.retain(|role, _| other.contains_key(role));
    for (role, counts) in least {
        counts.retain(|name, _| other[role].contains_key(name));
        for (name, count) in counts {
            *count = (*count).min(other[role][name]);
        }
    }
}

/// What containerd asks for over a container's life, in this order.
#[derive(Clone, Copy)]
enum Step {
    /// Create and Start: kubelet's StartContainer.
    Start,
    /// Exec, Start, Wait and Delete of one process: kubelet's ExecSync, as of a probe.
    Exec,
    /// Stats, as kubelet asks every ten seconds.
    Stats,
    /// Kill, Wait and Delete.
    Stop,
}

impl Step {
    const ALL: [Self; 4] = [Self::Start, Self::Exec, Self::Stats, Self::Stop];

    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Exec => "exec",
            Self::Stats => "stats",
            Self::Stop => "stop",
        }
    }

    fn run(self, pod: &Pod) -> Result<()> {
        match self {
            Self::Start => pod.start_container(),
            Self::Exec => pod.exec(),
            Self::Stats => pod.stats(),
            Self::Stop => pod.stop_container(),
        }
    }
}
