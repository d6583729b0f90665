//! The table that a person sees at the end.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};

use crate::critest::comparison::{Row, Verdict};
use crate::critest::report::{Report, first_line, remark, seconds};

/// How much of a failure's message is shown.
const MESSAGE_CHARACTERS: usize = 400;

/// The whole matrix, and below it what somebody should look at. `width` in characters, of a terminal.
pub(in crate::critest) fn render(report: &Report, width: Option<u16>) -> String {
    let mut text = format!("{}\n{}\n{}\n", report.title(), report.introduction(), table(report, width));
    for row in report.noteworthy() {
        text.push_str(&format!("\n{}: {}\n", row.verdict.word(), row.name));
        if let Some(remark) = remark(row) {
            text.push_str(&format!("    {}\n", first_line(&remark, MESSAGE_CHARACTERS)));
        }
    }
    for stale in report.comparison.stale() {
        text.push_str(&format!("\nentry to remove: {}\n    {}\n", stale.name, stale.why));
    }
    text.push_str(&format!("\n{}; {}\n{}\n", report.counted(), report.timed(), report.conclusion()));
    text
}

fn table(report: &Report, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    // The areas' headings divide the rows well enough.
    for component in [
        TableComponent::HorizontalLines,
        TableComponent::LeftBorderIntersections,
        TableComponent::MiddleIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(component);
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let mut header = vec!["".to_owned(), "spec".to_owned()];
    for side in report.baseline.iter().chain([&report.tested]) {
        header.extend([side.handler.clone(), "s".to_owned()]);
    }
    let columns = header.len();
    table.set_header(header);
    for column in table.column_iter_mut().skip(3).step_by(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (area, rows) in report.areas() {
        let mut heading = vec![String::new(); columns];
        area.to_uppercase().clone_into(&mut heading[1]);
        table.add_row(heading);
        for row in rows {
            table.add_row(cells(row));
        }
    }
    table
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![mark(row.verdict).to_owned(), row.name.title.clone()];
    for tally in row.baseline.iter().chain([&row.tested]) {
        cells.extend([tally.to_string(), seconds(tally.time())]);
    }
    cells
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓",
        Verdict::Better => "+",
        Verdict::Skipped | Verdict::NotRunnable => "-",
        Verdict::Regression | Verdict::Failed | Verdict::PassesOnNeither => "✗",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critest::ginkgo::Outcome;
    use crate::critest::report::tests::{everything, report};
    use crate::critest::tally::tests::{failed, run};

    #[test]
    fn each_spec_is_a_row_with_both_results_and_both_times() {
        let text = render(&everything(), None);
        let row = text.lines().find(|line| line.contains(" regresses ")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["✗", "regresses", "passed", "1.0", "failed", "1.0"]
        );
    }

    #[test]
    fn what_somebody_should_look_at_is_told_below_with_its_reason() {
        let text = render(&everything(), None);
        assert!(text.contains("\nregression: Area regresses\n    lost it\n"), "{text}");
        assert!(text.contains("\nnot runnable here: Area listed\n    the kernel has no NAT\n"), "{text}");
        assert!(!text.contains("second line"), "{text}");
    }

    #[test]
    fn an_entry_that_has_to_go_is_told() {
        let passing = [run(&[("listed", Outcome::Passed)])];
        let list = "[[spec]]\nname = \"Area listed\"\nreason = \"x\"\n";
        let text = render(&report(Some(&passing), &passing, list), None);
        assert!(text.contains("entry to remove: Area listed\n    it passes on the baseline"), "{text}");
    }

    #[test]
    fn several_runs_are_shown_as_counts() {
        let runs = [run(&[("it", Outcome::Passed)]), run(&[("it", failed("x"))])];
        let text = render(&report(None, &runs, ""), None);
        assert!(text.contains(" 1/2 "), "{text}");
        assert!(text.contains("ballast 20.0 s (2 runs)"), "{text}");
    }

    #[test]
    fn the_table_is_no_wider_than_the_terminal() {
        let text = render(&everything(), Some(60));
        let table: Vec<_> =
            text.lines().filter(|line| line.contains(" regresses ") || line.starts_with('─')).collect();
        assert!(!table.is_empty());
        assert!(table.iter().all(|line| line.chars().count() <= 60), "{text}");
    }
}
