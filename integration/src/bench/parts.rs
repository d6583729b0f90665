//! The parts of a run: what the load generator is asked for, one after the other, and how long each takes. Knows its command
//! line, not what it measures.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Serialize, Serializer};

use super::samples::Samples;
use super::{HANDLERS, Measurement};
use crate::node::Node;
use crate::node::protocol::Ending;
use crate::progress::{Progress, StepLog};

const IMAGE: &str = "ballast.dev/test/measured:latest";
const GENERATOR: &str = "cri-bench";

/// Seconds of asking containerd for statistics.
const STATS_SECONDS: u32 = 5;
/// Rounds, of a second for each handler, of asking the shims of so many pods.
const STATS_ROUNDS: u32 = 5;
const STATS_PODS: u32 = 5;
/// Rounds of the measurements of logs and output, each with and without a terminal.
const LOG_ROUNDS: u32 = 3;

/// What a whole run may take where the number of pods that are started together is left to it.
const WHOLE_RUN: Duration = Duration::from_secs(600);
/// Of how many pods that number may be.
const CROWDS: RangeInclusive<u32> = 32..=100;
/// What a pod costs that is started and ended among many, and all parts besides lives and pods: in rounds of lives, about as
/// runs on two machines had it.
const ROUNDS_A_POD: f64 = 1.1;
const ROUNDS_OF_THE_REST: f64 = 42.0;

/// One call of the load generator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What a person sees while it runs.
    name: String,
    /// The generator's name for it.
    kind: &'static str,
    numbers: Vec<(&'static str, String)>,
}

/// How long a part took.
#[derive(Debug, Serialize)]
pub(super) struct Span {
    pub(super) part: String,
    #[serde(rename = "seconds", serialize_with = "in_seconds")]
    pub(super) took: Duration,
}

fn in_seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

/// The first part of a run, whose time says how fast the machine is.
fn lives(measurement: &Measurement) -> Part {
    let iterations = measurement.iterations;
    Part::new(format!("lives of a pod, {iterations} rounds"), "life", &[("-rounds", iterations)])
}

/// How many pods are started together, if nobody says it: as many as there is time for when lives took so long.
fn crowd_that_fits(measurement: &Measurement, lives: Duration) -> u32 {
    let fits = |crowd: &u32| time_with(measurement, *crowd, lives) <= WHOLE_RUN;
    CROWDS.rev().find(fits).unwrap_or(*CROWDS.start())
}

/// What a run takes on a machine where lives took so long.
fn time_with(measurement: &Measurement, crowd: u32, lives: Duration) -> Duration {
    let Measurement { iterations, widths, .. } = measurement;
    let at_once: u32 = widths.iter().map(|_| crowd).sum();
    let pods = f64::from(one_at_a_time(measurement, crowd) + at_once);
    // Containers without limits take as long as lives.
    let rounds = f64::from(2 * iterations) + ROUNDS_A_POD * pods + ROUNDS_OF_THE_REST;
    lives.mul_f64(rounds / f64::from(*iterations))
}

/// How many pods are started one at a time: enough for the memory, too.
fn one_at_a_time(measurement: &Measurement, crowd: u32) -> u32 {
    measurement.pods.iter().copied().chain([crowd]).max().unwrap_or_default()
}

/// The other parts, in the order in which they are shown.
fn others(measurement: &Measurement, crowd: u32) -> Vec<Part> {
    let Measurement { iterations, pods, widths, log_mebibytes, output_mebibytes, .. } = measurement;
    let part = Part::new;
    let filled = one_at_a_time(measurement, crowd);
    let mut fill = part(
        format!("{filled} pods, one at a time, and statistics"),
        "pods",
        &[("-count", filled), ("-seconds", STATS_SECONDS)],
    );
    fill.numbers.push(("-pods", pods.iter().map(u32::to_string).collect::<Vec<_>>().join(",")));
    let unlimited = part(
        format!("containers without limits, {iterations} rounds"),
        "unlimited",
        &[("-rounds", *iterations)],
    );
    let stats = part(
        "statistics of shims".to_owned(),
        "stats",
        &[("-count", STATS_PODS), ("-rounds", STATS_ROUNDS), ("-seconds", 1)],
    );
    let crowds = widths.iter().map(|width| {
        part(format!("{crowd} pods, {width} at a time"), "crowd", &[("-count", crowd), ("-width", *width)])
    });
    let logs = [("log", "logs", log_mebibytes), ("output", "output of a container", output_mebibytes)];
    let logs = logs.map(|(kind, name, mebibytes)| {
        let name = format!("{name}, {mebibytes} MiB");
        part(name, kind, &[("-rounds", LOG_ROUNDS), ("-mebibytes", *mebibytes)])
    });
    [unlimited, fill, stats].into_iter().chain(crowds).chain(logs).collect()
}

/// Measures each part of `measurement` as a step of its own.
pub(super) fn measure(
    node: &Node,
    progress: &Progress,
    measurement: &Measurement,
) -> Result<(Samples, Vec<Span>)> {
    let mut output = Vec::new();
    let mut span = |part: &Part| {
        let begin = Instant::now();
        progress.step(&part.name, |log| part.run(node, &mut output, log))?;
        anyhow::Ok(Span { part: part.name.clone(), took: begin.elapsed() })
    };
    let mut spans = vec![span(&lives(measurement))?];
    let crowd = measurement.crowd.unwrap_or_else(|| crowd_that_fits(measurement, spans[0].took));
    for part in others(measurement, crowd) {
        spans.push(span(&part)?);
    }
    Ok((Samples::parse(&String::from_utf8_lossy(&output))?, spans))
}

impl Part {
    fn new(name: String, kind: &'static str, numbers: &[(&'static str, u32)]) -> Self {
        let numbers = numbers.iter().map(|(flag, number)| (*flag, number.to_string())).collect();
        Self { name, kind, numbers }
    }

    fn command(&self) -> Vec<String> {
        let always = [("-image", IMAGE.to_owned()), ("-handlers", HANDLERS.join(","))];
        let flags = always.into_iter().chain(self.numbers.iter().cloned());
        let flags = flags.flat_map(|(flag, value)| [flag.to_owned(), value]);
        [GENERATOR.to_owned(), self.kind.to_owned()].into_iter().chain(flags).collect()
    }

    fn run(&self, node: &Node, output: &mut Vec<u8>, log: &mut StepLog) -> Result<()> {
        let ending = node.command(self.command()).stream(output, log).context("run the load generator")?;
        if ending != Ending::Code(0) {
            bail!("the load generator: {ending:?}, containerd's log is in {}", node.logs().display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(pods: &[u32]) -> Measurement {
        Measurement {
            iterations: 30,
            pods: pods.to_vec(),
            crowd: None,
            widths: vec![8, 32],
            log_mebibytes: 4,
            output_mebibytes: 64,
            markdown: None,
            json: None,
            html: None,
        }
    }

    #[test]
    fn the_pods_that_are_started_one_at_a_time_are_enough_for_the_memory_and_for_the_crowd() {
        for (pods, crowd, count) in [(&[1, 10, 50][..], 40, "50"), (&[1, 10, 50], 100, "100")] {
            let parts = others(&measurement(pods), crowd);
            let fill = parts.iter().find(|part| part.kind == "pods").unwrap().command().join(" ");
            assert!(fill.contains(&format!("-count {count} ")), "{fill}");
            assert!(fill.ends_with("-pods 1,10,50"), "{fill}");
        }
    }

    #[test]
    fn a_crowd_is_as_large_as_the_time_of_a_run_allows() {
        let measurement = measurement(&[1, 10, 50]);
        for (seconds, expected) in [(10, 100), (40, 100), (74, 39), (126, 32)] {
            let lives = Duration::from_secs(seconds);
            let crowd = crowd_that_fits(&measurement, lives);
            assert_eq!(crowd, expected, "after {seconds} s");
            let fits = |crowd| time_with(&measurement, crowd, lives) <= WHOLE_RUN;
            assert!(crowd == 32 || fits(crowd), "{crowd} pods after {seconds} s");
            assert!(crowd == 100 || !fits(crowd + 1), "one more fits after {seconds} s");
        }
    }

    #[test]
    fn each_width_is_a_part_of_its_own() {
        let parts = others(&measurement(&[1]), 40);
        let crowds: Vec<_> =
            parts.iter().filter(|part| part.kind == "crowd").map(|part| &*part.name).collect();
        assert_eq!(crowds, ["40 pods, 8 at a time", "40 pods, 32 at a time"]);
    }
}
