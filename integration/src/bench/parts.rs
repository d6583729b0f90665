//! The parts of a run: what the load generator is asked for, one after the other, and how long each takes. Knows its command
//! line, not what it measures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Serialize, Serializer};

use super::samples::Samples;
use super::{HANDLERS, Measurement};
use crate::node::Node;
use crate::node::protocol::Ending;
use crate::progress::{Progress, StepLog};

const IMAGE: &str = "ballast.dev/test/debian:latest";
const GENERATOR: &str = "cri-bench";

/// Seconds of asking containerd for statistics.
const STATS_SECONDS: u32 = 5;
/// Rounds, of a second for each handler, of asking the shims of so many pods.
const STATS_ROUNDS: u32 = 5;
const STATS_PODS: u32 = 5;
/// Rounds of the measurements of logs and output, each with and without a terminal.
const LOG_ROUNDS: u32 = 3;

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

/// What `measurement` asks for, in the order in which it is shown.
pub(super) fn of(measurement: &Measurement) -> Vec<Part> {
    let Measurement { iterations, pods, crowd, widths, log_mebibytes, output_mebibytes, .. } = measurement;
    let part = |name: String, kind, numbers: &[(&'static str, u32)]| {
        let numbers = numbers.iter().map(|(flag, number)| (*flag, number.to_string())).collect();
        Part { name, kind, numbers }
    };
    let filled = pods.iter().chain([crowd]).max().copied().unwrap_or_default();
    let mut fill = part(
        format!("{filled} pods, one at a time, and statistics"),
        "pods",
        &[("-count", filled), ("-seconds", STATS_SECONDS)],
    );
    fill.numbers.push(("-pods", pods.iter().map(u32::to_string).collect::<Vec<_>>().join(",")));
    let life = part(format!("lives of a pod, {iterations} rounds"), "life", &[("-rounds", *iterations)]);
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
        part(format!("{crowd} pods, {width} at a time"), "crowd", &[("-count", *crowd), ("-width", *width)])
    });
    let logs = [("log", "logs", log_mebibytes), ("output", "output of a container", output_mebibytes)];
    let logs = logs.map(|(kind, name, mebibytes)| {
        let name = format!("{name}, {mebibytes} MiB");
        part(name, kind, &[("-rounds", LOG_ROUNDS), ("-mebibytes", *mebibytes)])
    });
    [life, unlimited, fill, stats].into_iter().chain(crowds).chain(logs).collect()
}

/// Measures each part as a step of its own.
pub(super) fn measure(node: &Node, progress: &Progress, parts: &[Part]) -> Result<(Samples, Vec<Span>)> {
    let mut output = Vec::new();
    let mut spans = Vec::new();
    for part in parts {
        let begin = Instant::now();
        progress.step(&part.name, |log| part.run(node, &mut output, log))?;
        spans.push(Span { part: part.name.clone(), took: begin.elapsed() });
    }
    Ok((Samples::parse(&String::from_utf8_lossy(&output))?, spans))
}

impl Part {
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

    fn measurement(pods: &[u32], crowd: u32) -> Measurement {
        Measurement {
            iterations: 30,
            pods: pods.to_vec(),
            crowd,
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
            let parts = of(&measurement(pods, crowd));
            let fill = parts.iter().find(|part| part.kind == "pods").unwrap().command().join(" ");
            assert!(fill.contains(&format!("-count {count} ")), "{fill}");
            assert!(fill.ends_with("-pods 1,10,50"), "{fill}");
        }
    }

    #[test]
    fn each_width_is_a_part_of_its_own() {
        let parts = of(&measurement(&[1], 40));
        let crowds: Vec<_> =
            parts.iter().filter(|part| part.kind == "crowd").map(|part| &*part.name).collect();
        assert_eq!(crowds, ["40 pods, 8 at a time", "40 pods, 32 at a time"]);
    }
}
