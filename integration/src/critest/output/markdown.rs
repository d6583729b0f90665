//! The report for a pull request.

use crate::critest::comparison::Row;
use crate::critest::report::{Report, first_line, remark, seconds};
use crate::critest::tally::Standing;

/// How much of a failure's message is shown.
const MESSAGE_CHARACTERS: usize = 300;

/// The conclusion, a summary by area, what somebody should look at, and the whole matrix, folded.
pub(in crate::critest) fn render(report: &Report) -> String {
    let mut text = format!("# {}\n\n", escape(&report.title()));
    text.push_str(&format!("**{}**\n\n", escape(&report.conclusion())));
    text.push_str(&format!("{}; {}.\n\n", escape(&report.counted()), escape(&report.timed())));
    text.push_str(&format!("{}.\n\n", escape(&report.introduction())));
    text.push_str(&summary(report));
    text.push_str(&noteworthy(report));
    for stale in report.comparison.stale() {
        text.push_str(&format!("* The list's entry \"{}\" has to go: {}.\n", escape(&stale.name), stale.why));
    }
    text.push_str("\n<details><summary>All specs</summary>\n");
    for (area, rows) in report.areas() {
        text.push_str(&format!("\n### {}\n\n", escape(area)));
        text.push_str(&matrix(report, rows));
    }
    text.push_str("\n</details>\n");
    text
}

/// By area: how many there are, and how many of them pass.
pub(in crate::critest) fn summary(report: &Report) -> String {
    let mut table = vec![header(report, &["area", "specs"], &[])];
    table.push(ruler(&table[0]));
    let line = |name: String, rows: &[&Row]| {
        let mut cells = vec![name, rows.len().to_string()];
        if report.baseline.is_some() {
            cells.push(passed(rows, |row| row.baseline.as_ref().map(super::super::tally::Tally::standing)));
        }
        cells.push(passed(rows, |row| Some(row.tested.standing())));
        joined(&cells)
    };
    for (area, rows) in report.areas() {
        table.push(line(escape(area), &rows.iter().collect::<Vec<_>>()));
    }
    table.push(line("**all**".to_owned(), &report.comparison.rows().iter().collect::<Vec<_>>()));
    table.join("\n") + "\n\n"
}

fn passed(rows: &[&Row], standing: impl Fn(&Row) -> Option<Standing>) -> String {
    let count = |wanted: Standing| rows.iter().filter(|row| standing(row) == Some(wanted)).count();
    let others = [Standing::Failed, Standing::Flaky, Standing::Skipped, Standing::Missing].map(|standing| {
        let count = count(standing);
        if count == 0 { String::new() } else { format!(", {count} {}", standing.word()) }
    });
    format!("{} passed{}", count(Standing::Passed), others.concat())
}

fn noteworthy(report: &Report) -> String {
    let rows = report.noteworthy();
    if rows.is_empty() {
        return String::new();
    }
    let mut table = vec![header(report, &["", "spec"], &["why"])];
    table.push(ruler(&table[0]));
    for row in rows {
        let mut cells = vec![row.verdict.word().to_owned(), escape(&row.name.to_string())];
        cells.extend(row.baseline.iter().chain([&row.tested]).map(ToString::to_string));
        cells.push(escape(&first_line(&remark(row).unwrap_or_default(), MESSAGE_CHARACTERS)));
        table.push(joined(&cells));
    }
    table.join("\n") + "\n\n"
}

fn matrix(report: &Report, rows: &[Row]) -> String {
    let mut names = vec!["spec".to_owned()];
    for side in report.baseline.iter().chain([&report.tested]) {
        names.extend([escape(&side.handler), "s".to_owned()]);
    }
    let mut table = vec![joined(&names)];
    table.push(ruler(&table[0]));
    for row in rows {
        let mut cells = vec![escape(&row.name.title)];
        for tally in row.baseline.iter().chain([&row.tested]) {
            cells.extend([tally.to_string(), seconds(tally.time())]);
        }
        table.push(joined(&cells));
    }
    table.join("\n") + "\n"
}

fn header(report: &Report, before: &[&str], after: &[&str]) -> String {
    let handlers = report.baseline.iter().chain([&report.tested]).map(|side| escape(&side.handler));
    let before = before.iter().map(|name| (*name).to_owned());
    let after = after.iter().map(|name| (*name).to_owned());
    joined(&before.chain(handlers).chain(after).collect::<Vec<_>>())
}

fn joined(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn ruler(header: &str) -> String {
    format!("|{}", "---|".repeat(header.matches(" | ").count() + 1))
}

/// So that a text is shown as it is, also within a table.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' | '#' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critest::ginkgo::Outcome;
    use crate::critest::report::tests::{everything, report};
    use crate::critest::tally::tests::run;

    #[test]
    fn the_conclusion_comes_first_and_the_matrix_is_folded() {
        let passing = [run(&[("it", Outcome::Passed)])];
        let expected = "\
# critest: ballast beside runc

**Everything that passes on runc passes on ballast.**

1 specs: 1 passed; runc 10.0 s, ballast 10.0 s.

critest 1.36.0, containerd v2.3.7, seed 1.

| area | specs | runc | ballast |
|---|---|---|---|
| Area | 1 | 1 passed | 1 passed |
| **all** | 1 | 1 passed | 1 passed |


<details><summary>All specs</summary>

### Area

| spec | runc | s | ballast | s |
|---|---|---|---|---|
| it | passed | 1.0 | passed | 1.0 |

</details>
";
        assert_eq!(render(&report(Some(&passing), &passing, "")), expected);
    }

    #[test]
    fn what_a_failure_says_cannot_break_the_table() {
        let text = render(&everything());
        assert!(
            text.contains("| passes on neither | Area neither | failed | failed | own &lt;reason> |"),
            "{text}"
        );
        assert!(text.contains("| skipped | Area skips | skipped | skipped | no &lt;AppArmor> |"), "{text}");
        assert_eq!(escape("a | b\nc"), "a \\| b c");
    }

    #[test]
    fn the_summary_counts_what_did_not_pass() {
        let text = summary(&everything());
        assert!(
            text.contains("| Area | 7 | 2 passed, 3 failed, 2 skipped | 2 passed, 4 failed, 1 skipped |"),
            "{text}"
        );
    }

    #[test]
    fn without_a_baseline_there_is_no_column_for_it() {
        let text = render(&report(None, &[run(&[("it", Outcome::Passed)])], ""));
        assert!(text.contains("| spec | ballast | s |\n|---|---|---|\n| it | passed | 1.0 |"), "{text}");
    }
}
