//! critest's own benchmarks for a handler beside a baseline: both on the same node, in turns, so that whatever else the
//! machine does meets both. Figures are for comparing handlers, never an absolute.

mod data;
mod table;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::data::{FILES, Operation};
use self::table::{Results, Row};
use super::environment::Environment;
use super::ginkgo::{Outcome, SuiteRun};
use super::interrupt::Running;
use super::live::Display;
use super::place::Place;
use super::suite::Selection;
use crate::bench::Quartiles;

const PARAMETERS: &str = "benchmark.yaml";
/// Where critest puts its data, in the scratch directory.
const DATA: &str = "benchmark";
const REPORT: &str = "report.json";

/// The image that is pulled and removed again and again; the project's node serves it.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.29-2";

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Measurements of each operation in each round.
    pub samples: u32,
    /// How many pods or containers are measured at the same time.
    pub parallel: u32,
    /// Rounds; the handlers take turns.
    pub rounds: u32,
}

impl Measurement {
    /// critest's file of benchmark parameters.
    fn parameters(self) -> String {
        let Self { samples, parallel, .. } = self;
        // Pulls of one image at the same time are one pull. A slow node is not to fail, it is to be measured.
        format!(
            "containersNumber: {samples}\ncontainersNumberParallel: {parallel}\ncontainerBenchmarkTimeoutSeconds: 300\n\
             podsNumber: {samples}\npodsNumberParallel: {parallel}\npodBenchmarkTimeoutSeconds: 300\n\
             imagesNumber: {samples}\nimagesNumberParallel: 1\nimageBenchmarkTimeoutSeconds: 300\n\
             imagePullingBenchmarkImage: {IMAGE}\npodContainerStartBenchmarkTimeoutSeconds: 300\n"
        )
    }
}

/// Where and what to measure.
pub(super) struct Bench<'a> {
    pub(super) place: &'a Place,
    /// The baseline if there is one, then the tested handler.
    pub(super) handlers: &'a [&'a str],
    pub(super) measurement: Measurement,
    pub(super) selection: &'a Selection,
    pub(super) out: &'a Path,
}

/// Measures, writes `benchmark.md` and `benchmark.json`, and returns the table for the terminal.
///
/// # Errors
/// When a benchmark failed, or a measurement is missing.
pub(super) fn run(bench: &Bench<'_>, environment: &Environment, running: &Running) -> Result<String> {
    let display = Display::new(bench.handlers);
    let mut measured: Vec<Vec<Operation>> = vec![Vec::new(); bench.handlers.len()];
    for round in 1..=bench.measurement.rounds {
        let mut turns: Vec<_> = bench.handlers.iter().zip(&mut measured).collect();
        if round % 2 == 0 {
            // Whoever comes second finds the node as the first left it.
            turns.reverse();
        }
        for (handler, operations) in turns {
            let label = format!("{handler}-benchmark-{round}");
            let found = bench.round(handler, &label, &display, running);
            operations
                .extend(found.with_context(|| format!("critest's benchmarks on {handler}, round {round}"))?);
        }
    }
    let results = results(bench, environment, &measured)?;
    let write = |name: &str, text: String| {
        let path = bench.out.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write("benchmark.md", results.markdown())?;
    write("benchmark.json", serde_json::to_string_pretty(&results).context("encode the results")? + "\n")?;
    Ok(results.terminal())
}

impl Bench<'_> {
    fn round(
        &self,
        handler: &str,
        label: &str,
        display: &Display,
        running: &Running,
    ) -> Result<Vec<Operation>> {
        let scratch = self.place.scratch(label)?;
        scratch.put(PARAMETERS, &self.measurement.parameters())?;
        scratch.make_directory(DATA)?;
        let argv = self.command_line(handler);
        let path = self.out.join(format!("{label}.log"));
        let mut log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let mut written = writeln!(log, "$ {}", argv.join(" "));
        let mut line = display.line(handler);
        let ending = self.place.follow(&argv, scratch.path(), running, &mut |text| {
            line.feed(text);
            if written.is_ok() {
                written = writeln!(log, "{text}");
            }
        })?;
        written.with_context(|| format!("write {}", path.display()))?;
        let report = self.out.join(format!("{label}.json"));
        scratch
            .fetch(REPORT, &report)
            .with_context(|| format!("critest ended with {ending:?}, its output: {}", path.display()))?;
        let text = fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
        for spec in SuiteRun::parse(&text)?.specs {
            if let Outcome::Failed(failure) = spec.outcome {
                bail!("{} failed: {}, its output: {}", spec.name, failure.message, path.display());
            }
        }
        let mut operations = Vec::new();
        for file in FILES {
            let target = self.out.join(format!("{label}-{file}"));
            scratch.fetch(&format!("{DATA}/{file}"), &target)?;
            let text = fs::read_to_string(&target).with_context(|| format!("read {}", target.display()))?;
            operations.extend(data::parse(&text).with_context(|| target.display().to_string())?);
        }
        Ok(operations)
    }

    fn command_line(&self, handler: &str) -> Vec<String> {
        let endpoint = self.place.endpoint();
        let mut argv = vec![
            "critest".to_owned(),
            "--benchmark".to_owned(),
            format!("--runtime-endpoint={endpoint}"),
            format!("--image-endpoint={endpoint}"),
            format!("--runtime-handler={handler}"),
            format!("--benchmarking-params-file={PARAMETERS}"),
            format!("--benchmarking-output-dir={DATA}"),
            "--ginkgo.no-color".to_owned(),
            format!("--ginkgo.seed={}", self.selection.seed),
            format!("--ginkgo.json-report={REPORT}"),
        ];
        argv.extend(self.selection.arguments.iter().cloned());
        argv
    }
}

/// One row for each operation, in the order of the first handler's.
fn results(bench: &Bench<'_>, environment: &Environment, measured: &[Vec<Operation>]) -> Result<Results> {
    let [before @ .., tested] = measured else { bail!("no handler was measured") };
    let pooled: Vec<BTreeMap<&str, Vec<u64>>> = measured.iter().map(|operations| pool(operations)).collect();
    let mut names: Vec<&str> = Vec::new();
    for operation in tested {
        if !names.contains(&operation.name.as_str()) {
            names.push(&operation.name);
        }
    }
    let row = |name: &&str| {
        let quartiles = |index: usize| {
            let durations =
                pooled.get(index).and_then(|pool| pool.get(name)).filter(|durations| !durations.is_empty());
            let durations =
                durations.with_context(|| format!("{name} of {} was not measured", bench.handlers[index]))?;
            Ok::<_, anyhow::Error>(Quartiles::of(durations.clone()))
        };
        let baseline = if before.is_empty() { None } else { Some(quartiles(0)?) };
        Ok(Row { operation: (*name).to_owned(), baseline, tested: quartiles(before.len())? })
    };
    let Measurement { samples, parallel, rounds } = bench.measurement;
    let facts: Vec<_> = environment.facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let names_of = |index: usize| bench.handlers.get(index).map(|name| (*name).to_owned());
    Ok(Results {
        introduction: format!(
            "{}; medians of {} measurements ({rounds} rounds, {parallel} at a time) with their quartiles",
            facts.join(", "),
            samples * rounds,
        ),
        baseline: if before.is_empty() { None } else { names_of(0) },
        tested: names_of(before.len()).unwrap_or_default(),
        rows: names.iter().map(row).collect::<Result<_>>()?,
    })
}

fn pool(operations: &[Operation]) -> BTreeMap<&str, Vec<u64>> {
    let mut pooled: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for operation in operations {
        pooled.entry(&operation.name).or_default().extend(&operation.durations);
    }
    pooled
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::place::Here;
    use super::*;

    const MEASUREMENT: Measurement = Measurement { samples: 2, parallel: 1, rounds: 2 };

    fn with_bench<T>(handlers: &[&str], act: impl FnOnce(&Bench<'_>) -> T) -> T {
        let place = Place::Here(Here::new("/run/c.sock", PathBuf::new()));
        let selection = Selection::default();
        act(&Bench {
            place: &place,
            handlers,
            measurement: MEASUREMENT,
            selection: &selection,
            out: Path::new("/"),
        })
    }

    fn operation(name: &str, durations: &[u64]) -> Operation {
        Operation { name: name.into(), durations: durations.into() }
    }

    #[test]
    fn the_rounds_of_a_handler_are_counted_together() {
        let environment = Environment { facts: Vec::new() };
        let runc = vec![operation("StartContainer", &[8, 8]), operation("StartContainer", &[8, 8])];
        let ballast = vec![operation("StartContainer", &[1, 2]), operation("StartContainer", &[3, 9])];
        let results =
            with_bench(&["runc", "ballast"], |bench| results(bench, &environment, &[runc, ballast])).unwrap();
        assert_eq!(results.rows.len(), 1);
        assert_eq!(results.rows[0].baseline.unwrap().samples, 4);
        assert_eq!((results.rows[0].tested.samples, results.rows[0].tested.median), (4, 2));
    }

    #[test]
    fn an_operation_that_the_baseline_lacks_is_an_error() {
        let environment = Environment { facts: Vec::new() };
        let measured = [vec![], vec![operation("StopPod", &[1])]];
        let error =
            with_bench(&["runc", "ballast"], |bench| results(bench, &environment, &measured)).unwrap_err();
        assert_eq!(error.to_string(), "StopPod of runc was not measured");
    }

    #[test]
    fn critest_is_told_how_much_to_measure() {
        let parameters = Measurement { samples: 40, parallel: 2, rounds: 1 }.parameters();
        assert!(parameters.contains("containersNumber: 40\ncontainersNumberParallel: 2\n"), "{parameters}");
        assert!(parameters.contains("imagesNumber: 40\nimagesNumberParallel: 1\n"), "{parameters}");
        let argv = with_bench(&["ballast"], |bench| bench.command_line("ballast"));
        assert!(
            argv.contains(&"--benchmark".to_owned())
                && argv.contains(&"--runtime-handler=ballast".to_owned())
        );
    }
}
