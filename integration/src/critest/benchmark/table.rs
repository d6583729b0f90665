//! The benchmarks' results as a table and as JSON. Knows how to show them, not where they come from.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::bench::Quartiles;

/// One operation on both handlers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) operation: String,
    pub(super) baseline: Option<Quartiles>,
    pub(super) tested: Quartiles,
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Results {
    pub(super) introduction: String,
    pub(super) baseline: Option<String>,
    pub(super) tested: String,
    /// Nanoseconds.
    pub(super) rows: Vec<Row>,
}

impl Results {
    pub(super) fn terminal(&self) -> String {
        format!("{}\n{}\n", self.introduction, self.table(UTF8_HORIZONTAL_ONLY))
    }

    pub(super) fn markdown(&self) -> String {
        format!("{}.\n\n{}\n", self.introduction, self.table(ASCII_MARKDOWN))
    }

    fn table(&self, preset: &str) -> Table {
        let mut table = Table::new();
        table.load_preset(preset);
        let mut header = vec!["operation (ms)".to_owned()];
        header.extend(self.baseline.iter().chain([&self.tested]).cloned());
        header.extend(self.baseline.as_ref().map(|baseline| format!("/ {baseline}")));
        table.set_header(header);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in &self.rows {
            let mut cells = vec![row.operation.clone()];
            cells.extend(row.baseline.iter().chain([&row.tested]).map(shown));
            cells.extend(row.baseline.map(|baseline| ratio(row.tested.median, baseline.median)));
            table.add_row(cells);
        }
        table
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn shown(quartiles: &Quartiles) -> String {
    let Quartiles { p25, median, p75, .. } = *quartiles;
    format!("{:.1} ({:.1}..{:.1})", milliseconds(median), milliseconds(p25), milliseconds(p75))
}

fn ratio(value: u64, yardstick: u64) -> String {
    format!("{:.2}", milliseconds(value) / milliseconds(yardstick))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(baseline: Option<&str>) -> Results {
        let quartiles =
            |median: u64| Quartiles { samples: 3, p25: median / 2, median, p75: median * 2, p99: median * 2 };
        Results {
            introduction: "medians".into(),
            baseline: baseline.map(str::to_owned),
            tested: "ballast".into(),
            rows: vec![Row {
                operation: "CreatePod".into(),
                baseline: baseline.map(|_| quartiles(400_000_000)),
                tested: quartiles(100_000_000),
            }],
        }
    }

    #[test]
    fn both_handlers_and_their_ratio_stand_side_by_side() {
        let text = results(Some("runc")).markdown();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[2], "| operation (ms) | runc | ballast | / runc |");
        assert_eq!(lines[4], "| CreatePod | 400.0 (200.0..800.0) | 100.0 (50.0..200.0) | 0.25 |");
    }

    #[test]
    fn without_a_baseline_there_is_no_ratio() {
        let text = results(None).terminal();
        assert!(text.contains("CreatePod") && !text.contains('/'), "{text}");
    }
}
