//! The results as a table, as Markdown and as JSON.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::bench::conditions::Conditions;
use crate::bench::samples::Quartiles;

/// What Ballast set itself: at most this many times the floor.
const GOAL: f64 = 2.0;

/// Everything that one run found. The first row is the floor.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    conditions: Conditions,
    runc: String,
    crun: String,
    iterations: u32,
    rows: Vec<Row>,
}

/// One contender's figures, in nanoseconds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) quartiles: Quartiles,
}

impl Report {
    pub(super) fn new(conditions: Conditions, iterations: u32, rows: Vec<Row>, runc: &Path) -> Result<Self> {
        Ok(Self { conditions, runc: version(runc)?, crun: version("crun".as_ref())?, iterations, rows })
    }

    pub(super) fn markdown(&self) -> String {
        format!("{}\n\n{}\n", self.introduction(), self.table(ASCII_MARKDOWN))
    }

    fn introduction(&self) -> String {
        let Self { conditions, runc, crun, iterations, .. } = self;
        let facts: Vec<_> =
            conditions.facts().into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!(
            "{}\n{runc}, {crun}; create + start + exit + delete of one container, medians of {iterations} rounds with their \
             quartiles",
            facts.join("\n")
        )
    }

    fn table(&self, preset: &str) -> Table {
        let mut table = Table::new();
        table.load_preset(preset);
        table.set_header(["", "ms", "p99", "/ floor", "goal", ""]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let floor = self.rows.first().map_or(0, |row| row.quartiles.median);
        for row in &self.rows {
            table.add_row(row.cells(floor));
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
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    fn cells(&self, floor: u64) -> [String; 6] {
        let milliseconds = |value: u64| value as f64 / 1e6;
        let Quartiles { p25, median, p75, p99, .. } = self.quartiles;
        let ratio = median as f64 / floor as f64;
        let (goal, met) = match self.name {
            "ballast" => {
                (format!("<= {GOAL:.0} x floor"), if ratio <= GOAL { "met" } else { "not met" }.to_owned())
            }
            _ => (String::new(), String::new()),
        };
        let figures =
            format!("{:.2} ({:.2}..{:.2})", milliseconds(median), milliseconds(p25), milliseconds(p75));
        [self.name.to_owned(), figures, format!("{:.2}", milliseconds(p99)), format!("{ratio:.2}"), goal, met]
    }
}

/// The first line of `<program> --version`.
fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().replace(" version", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_held_against_the_floor() {
        let row = |name, value| Row { name, quartiles: Quartiles::of(vec![value]) };
        assert_eq!(row("ballast", 2_000_000).cells(1_000_000)[2..], ["2.00", "2.00", "<= 2 x floor", "met"]);
        assert_eq!(row("ballast", 2_010_000).cells(1_000_000)[5], "not met");
        assert_eq!(
            row("runc", 9_000_000).cells(1_000_000),
            ["runc", "9.00 (9.00..9.00)", "9.00", "9.00", "", ""]
        );
    }
}
