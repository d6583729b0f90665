//! The results as a table for people, as Markdown and as JSON. Knows how to show a figure, not how it was measured.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::{Value, json};

use super::HANDLERS;
use super::budget::{self, Budget};
use super::conditions::Conditions;
use super::parts::Span;
use super::samples::{Quantity, Quartiles, Samples, Side, Unit};
use crate::node::Node;

/// What is measured once in each round.
const PER_ROUND: [&str; 10] = [
    "RunPodSandbox",
    "CreateContainer",
    "StartContainer",
    "ExecSync",
    "Attach, first byte",
    "StopContainer",
    "RemoveContainer",
    "Stop+RemovePodSandbox",
    "CPU of a pod's life",
    "StartContainer without limits",
];

/// A middle half that spreads over more than this share of the median is worth a word.
const WIDE: f64 = 0.3;

/// How to read the table.
const READING: &str = "Medians with their p99; ratios of medians.";

/// What ran.
#[derive(Debug, Serialize)]
pub(super) struct Versions {
    node: &'static str,
    kernel: String,
    containerd: String,
    runc: String,
    crun: String,
    ballast: String,
}

impl Versions {
    pub(super) fn of(node: &Node) -> Result<Self> {
        let word = |argv: &[&str], index: usize| {
            let output = node.command(argv.iter().copied()).run()?;
            let word = output.split_whitespace().nth(index).map(str::to_owned);
            word.with_context(|| format!("{argv:?} printed {output:?}"))
        };
        Ok(Self {
            node: if node.shares_the_kernel() { "this machine's kernel" } else { "user-mode Linux" },
            kernel: word(&["uname", "-r"], 0)?,
            containerd: word(&["containerd", "--version"], 2)?,
            runc: word(&["runc", "--version"], 2)?,
            crun: word(&["crun", "--version"], 2)?,
            ballast: node
                .command(["containerd-shim-ballast-v2", "-v"])
                .run()?
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        })
    }
}

/// Everything that one run found.
#[derive(Debug)]
pub(super) struct Report {
    versions: Versions,
    pub(super) conditions: Conditions,
    iterations: u32,
    spans: Vec<Span>,
    pub(super) rows: Vec<Row>,
}

/// One quantity, by handler in the order of [`HANDLERS`].
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: Unit,
    ballast: Side,
    crun: Side,
    runc: Side,
    #[serde(skip)]
    budget: Option<Budget>,
}

impl Report {
    /// # Errors
    /// When a handler lacks a measurement.
    pub(super) fn new(
        versions: Versions,
        conditions: Conditions,
        iterations: u32,
        spans: Vec<Span>,
        samples: &Samples,
    ) -> Result<Self> {
        let row = |quantity: &Quantity| {
            let least = if PER_ROUND.contains(&&*quantity.what) { usize::try_from(iterations)? } else { 1 };
            let [ballast, crun, runc] = HANDLERS.map(|handler| quantity.of(handler, least));
            let budget = budget::for_quantity(&quantity.what, quantity.unit);
            let (what, unit) = (quantity.what.clone(), quantity.unit);
            Ok(Row { what, unit, ballast: ballast?, crun: crun?, runc: runc?, budget })
        };
        let rows: Vec<_> = samples.quantities.iter().map(row).collect::<Result<_>>()?;
        if let Some(missing) = PER_ROUND.iter().find(|what| !rows.iter().any(|row| row.what == **what)) {
            bail!("{missing} was not measured");
        }
        Ok(Self { versions, conditions, iterations, spans, rows })
    }

    pub(super) fn markdown(&self) -> String {
        let facts: String =
            self.facts().into_iter().map(|(name, value)| format!("* {name}: {value}\n")).collect();
        format!("{facts}\n{READING}\n\n{}\n", self.table(ASCII_MARKDOWN))
    }

    pub(super) fn json(&self) -> Value {
        let Self { versions, conditions, iterations, spans, rows } = self;
        json!({
            "versions": versions,
            "conditions": conditions,
            "iterations": iterations,
            "parts": spans,
            "rows": rows,
        })
    }

    /// What ran, where, and how quiet it was.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let Versions { node, kernel, containerd, runc, crun, ballast } = &self.versions;
        let mut facts = vec![
            ("node", format!("Linux {kernel} ({node})")),
            ("containerd", containerd.clone()),
            ("Ballast", ballast.clone()),
            ("crun", crun.clone()),
            ("runc", runc.clone()),
            ("rounds", self.iterations.to_string()),
        ];
        facts.extend(self.conditions.facts());
        facts.push(("took", self.took()));
        facts.push(("wide spread", self.wide_spread()));
        facts
    }

    /// Quantities whose middle half spreads over more than [`WIDE`] of the median for some handler: what was noisy.
    fn wide_spread(&self) -> String {
        let wide: Vec<&str> =
            self.rows.iter().filter(|row| row.has_wide_spread()).map(|row| &*row.what).collect();
        if wide.is_empty() { "none".to_owned() } else { wide.join("; ") }
    }

    fn took(&self) -> String {
        let parts: Vec<_> = self
            .spans
            .iter()
            .map(|Span { part, took }| format!("{part} {:.0} s", took.as_secs_f64()))
            .collect();
        let all: Duration = self.spans.iter().map(|span| span.took).sum();
        format!("{:.1} min ({})", all.as_secs_f64() / 60.0, parts.join("; "))
    }

    fn introduction(&self) -> String {
        let facts: String =
            self.facts().into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{facts}\n{READING}")
    }

    fn table(&self, preset: &str) -> Table {
        let mut table = Table::new();
        table.load_preset(preset);
        table.set_header(["", "ballast", "crun", "runc", "/ crun", "/ runc", "goal", ""]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in &self.rows {
            table.add_row(row.cells());
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n{}", self.introduction(), self.table(UTF8_HORIZONTAL_ONLY))
    }
}

impl Row {
    pub(super) fn sides(&self) -> [(&'static str, &Side); 3] {
        let [ballast, crun, runc] = HANDLERS;
        [(ballast, &self.ballast), (crun, &self.crun), (runc, &self.runc)]
    }

    /// The goal, and whether it is met.
    pub(super) fn goal(&self) -> Option<(String, bool)> {
        let [ballast, crun, runc] = [&self.ballast, &self.crun, &self.runc].map(|side| side.quartiles.median);
        self.budget.map(|budget| (budget.to_string(), budget.is_met(ballast, crun, runc)))
    }

    /// Ballast's median as a share of another's, where there is one.
    pub(super) fn ratios(&self) -> [String; 2] {
        [&self.crun, &self.runc].map(|other| ratio(self.ballast.quartiles.median, other.quartiles.median))
    }

    fn has_wide_spread(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a share that is compared roughly")]
        let is_wide = |Quartiles { samples, p25, median, p75, .. }: &Quartiles| {
            *samples > 2 && (p75 - p25) as f64 > WIDE * *median as f64
        };
        self.sides().iter().any(|(_, side)| is_wide(&side.quartiles))
    }

    fn cells(&self) -> [String; 8] {
        let shown = |side: &Side| self.unit.show(&side.quartiles);
        let [of_crun, of_runc] = self.ratios();
        let (goal, met) = self.goal().unzip();
        [
            format!("{}{}", self.what, self.unit.suffix()),
            shown(&self.ballast),
            shown(&self.crun),
            shown(&self.runc),
            of_crun,
            of_runc,
            goal.unwrap_or_default(),
            met.map(|met| if met { "met" } else { "not met" }.to_owned()).unwrap_or_default(),
        ]
    }
}

impl Unit {
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Nanoseconds => " (ms)",
            Self::Bytes => " (KiB)",
            Self::BytesPerSecond => " (MB/s)",
            Self::Percent => " (%)",
            Self::Count => "",
        }
    }

    /// One value, without the unit that [`Self::suffix`] says.
    pub(super) fn value(self, value: u64) -> String {
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        let millions = value as f64 / 1e6;
        match self {
            Self::Nanoseconds | Self::BytesPerSecond if millions < 1.0 => format!("{millions:.2}"),
            Self::Nanoseconds | Self::BytesPerSecond => format!("{millions:.1}"),
            Self::Bytes => (value >> 10).to_string(),
            Self::Count | Self::Percent => value.to_string(),
        }
    }

    fn show(self, Quartiles { samples, median, p99, .. }: &Quartiles) -> String {
        let median = self.value(*median);
        if *samples == 1 { median } else { format!("{median} (p99 {})", self.value(*p99)) }
    }
}

fn ratio(value: u64, yardstick: u64) -> String {
    if yardstick == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    let quotient = value as f64 / yardstick as f64;
    format!("{quotient:.2}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of quantities that all have the values 1, 2 and 3 ms.
    pub(crate) fn report(change: impl FnOnce(&mut Vec<String>)) -> Result<Report> {
        let mut whats: Vec<String> = PER_ROUND.iter().map(|what| (*what).to_owned()).collect();
        whats.push("PSS, 50 pods".to_owned());
        change(&mut whats);
        let lines: Vec<String> = whats
            .iter()
            .flat_map(|what| HANDLERS.map(|handler| (what, handler)))
            .flat_map(|(what, handler)| [1, 2, 3].map(|value| line(what, handler, value)))
            .collect();
        let versions = Versions {
            node: "a node",
            kernel: "7.2".into(),
            containerd: "v2".into(),
            runc: "1".into(),
            crun: "1".into(),
            ballast: "0.1 <b>".into(),
        };
        let conditions = Conditions::at_the_start()?.at_the_end()?;
        let spans = [90, 30].map(|seconds| Span { part: "part".into(), took: Duration::from_secs(seconds) });
        Report::new(versions, conditions, 3, spans.into(), &Samples::parse(&lines.join("\n"))?)
    }

    fn line(what: &str, handler: &str, value: u64) -> String {
        let unit = if what.starts_with("PSS") { "B" } else { "ns" };
        json!({"handler": handler, "what": what, "unit": unit, "value": value * 1_000_000}).to_string()
    }

    #[test]
    fn a_step_that_was_not_measured_is_an_error() {
        assert!(report(|_| ()).is_ok());
        let error = report(|whats| drop(whats.remove(3))).unwrap_err();
        assert_eq!(error.to_string(), "ExecSync was not measured");
    }

    #[test]
    fn a_row_shows_medians_p99_ratios_and_the_goal() {
        let report = report(|_| ()).unwrap();
        let cells = report.rows[3].cells();
        assert_eq!(cells[..2], ["ExecSync (ms)", "2.0 (p99 3.0)"]);
        assert_eq!(cells[4..], ["1.00", "1.00", "<= 0.35 x crun", "not met"]);
    }

    #[test]
    fn what_spreads_widely_is_named() {
        let facts = report(|_| ()).unwrap().facts();
        let (_, wide) = facts.iter().find(|(name, _)| *name == "wide spread").unwrap();
        assert!(wide.starts_with("RunPodSandbox; "), "{wide}");
    }

    #[test]
    fn the_time_of_each_part_and_of_all_is_told() {
        let report = report(|_| ()).unwrap();
        let facts = report.facts();
        let (_, took) = facts.iter().find(|(name, _)| *name == "took").unwrap();
        assert_eq!(took, "2.0 min (part 90 s; part 30 s)");
        assert_eq!(report.json()["parts"][0], json!({"part": "part", "seconds": 90.0}));
    }
}
