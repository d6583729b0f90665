//! The results as a table for people, as Markdown and as JSON. Knows how to show a figure, not how it was measured.

use std::fmt;

use anyhow::{Context, Result};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::{Value, json};

use super::budget::{self, Budget};
use super::samples::{Quantity, Quartiles, Samples, Unit};
use super::{HANDLERS, Measurement};
use crate::node::Node;

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
    iterations: u32,
    pods: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: Unit,
    ballast: Quartiles,
    crun: Quartiles,
    runc: Quartiles,
    #[serde(skip)]
    budget: Option<Budget>,
}

impl Report {
    /// # Errors
    /// When a handler lacks a measurement.
    pub(super) fn new(versions: Versions, measurement: &Measurement, samples: &Samples) -> Result<Self> {
        let Measurement { iterations, pods, .. } = *measurement;
        let row = |quantity: &Quantity| {
            let least = if quantity.unit == Unit::Nanoseconds { usize::try_from(iterations)? } else { 1 };
            let [ballast, crun, runc] = HANDLERS.map(|handler| quantity.of(handler, least));
            let budget = budget::for_quantity(&quantity.what, quantity.unit, pods);
            let (what, unit) = (quantity.what.clone(), quantity.unit);
            Ok(Row { what, unit, ballast: ballast?, crun: crun?, runc: runc?, budget })
        };
        let rows = samples.quantities.iter().map(row).collect::<Result<_>>()?;
        Ok(Self { versions, iterations, pods, rows })
    }

    pub(super) fn markdown(&self) -> String {
        format!("{}\n\n{}\n", self.introduction(), self.table(ASCII_MARKDOWN))
    }

    pub(super) fn json(&self) -> Value {
        json!({"versions": self.versions, "iterations": self.iterations, "pods": self.pods, "rows": self.rows})
    }

    fn introduction(&self) -> String {
        let Versions { node, kernel, containerd, runc, crun, ballast } = &self.versions;
        format!(
            "Linux {kernel} ({node}), containerd {containerd}, runc {runc}, crun {crun}, {ballast}; medians of {} rounds with \
             their quartiles",
            self.iterations
        )
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
    fn cells(&self) -> [String; 8] {
        let shown = |quartiles: &Quartiles| self.unit.show(quartiles);
        let ratio = |yardstick: &Quartiles| ratio(self.ballast.median, yardstick.median);
        let met = self.budget.map(|budget| budget.is_met(self.ballast.median, self.crun.median));
        [
            format!("{}{}", self.what, self.unit.suffix()),
            shown(&self.ballast),
            shown(&self.crun),
            shown(&self.runc),
            ratio(&self.crun),
            ratio(&self.runc),
            self.budget.map(|budget| budget.to_string()).unwrap_or_default(),
            met.map(|met| if met { "met" } else { "not met" }.to_owned()).unwrap_or_default(),
        ]
    }
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Self::Nanoseconds => " (ms)",
            Self::Bytes => " (KiB)",
            Self::Count => "",
        }
    }

    fn show(self, Quartiles { p25, median, p75, .. }: &Quartiles) -> String {
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
        let milliseconds = |value: &u64| *value as f64 / 1e6;
        match self {
            Self::Nanoseconds => {
                format!("{:.1} ({:.1}..{:.1})", milliseconds(median), milliseconds(p25), milliseconds(p75))
            }
            Self::Bytes => format!("{} ({}..{})", median >> 10, p25 >> 10, p75 >> 10),
            Self::Count => median.to_string(),
        }
    }
}

fn ratio(value: u64, yardstick: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    let quotient = value as f64 / yardstick as f64;
    format!("{quotient:.2}")
}
