//! The report as one page that needs nothing else: a matrix to look at, to filter and to search. Without scripts it is the
//! whole matrix.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::critest::comparison::{Row, Verdict};
use crate::critest::ginkgo::Failure;
use crate::critest::report::{Report, seconds};
use crate::critest::tally::{Standing, Tally};

/// How much of what a failed spec wrote is kept, from its end.
const OUTPUT_CHARACTERS: usize = 20_000;

pub(in crate::critest) fn render(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.title()) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header { (heading(report)) }
                main {
                    (controls(report))
                    (matrix(report))
                    p id="nothing" hidden { "No spec matches." }
                }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    page.into_string()
}

fn heading(report: &Report) -> Markup {
    html! {
        h1 {
            "critest: " span.handler { (report.tested.handler) }
            @if let Some(baseline) = &report.baseline { " beside " span.handler { (baseline.handler) } }
        }
        p.conclusion.(if report.succeeded() { "good" } else { "bad" }) {
            span.icon aria-hidden="true" { (if report.succeeded() { "✓" } else { "✗" }) }
            " " (report.conclusion())
        }
        dl.facts {
            @for (name, value) in report.environment.facts.iter().chain(&report.settings) {
                div { dt { (name) } dd { (value) } }
            }
            @for side in report.baseline.iter().chain([&report.tested]) {
                div {
                    dt { (side.handler) " took" }
                    dd { (seconds(Some(side.time))) " s" @if side.runs > 1 { ", " (side.runs) " runs" } }
                }
            }
        }
        @if !report.comparison.stale().is_empty() {
            ul.stale {
                @for stale in report.comparison.stale() {
                    li { "The list's entry “" (stale.name) "” has to go: " (stale.why) "." }
                }
            }
        }
    }
}

fn controls(report: &Report) -> Markup {
    let flaky = report.comparison.rows().iter().filter(|row| row.is_flaky()).count();
    html! {
        form.controls role="search" hidden {
            label.search {
                span.label { "Search" }
                input id="search" type="search" autocomplete="off" placeholder="name, group or failure text";
            }
            fieldset {
                legend { "Show" }
                (choice("all", "all", report.comparison.rows().len(), true))
                @for (verdict, count) in report.counts() {
                    (choice(class(verdict), verdict.word(), count, false))
                }
                @if flaky > 0 { (choice("flaky", "flaky", flaky, false)) }
            }
            p id="shown" role="status" aria-live="polite" {}
        }
    }
}

fn choice(value: &str, word: &str, count: usize, checked: bool) -> Markup {
    html! {
        label.choice.(value) {
            input type="radio" name="show" value=(value) checked[checked];
            span { (word) " " b { (count) } }
        }
    }
}

fn matrix(report: &Report) -> Markup {
    html! {
        table {
            caption.unseen { "Every spec with its result on each handler" }
            thead {
                tr {
                    th scope="col" { "spec" }
                    @for side in report.baseline.iter().chain([&report.tested]) {
                        th scope="col" { (side.handler) }
                    }
                }
            }
            @for (area, rows) in report.areas() {
                tbody {
                    tr.area {
                        th scope="rowgroup" colspan=(2 + usize::from(report.baseline.is_some())) {
                            (area) " " span.tally { (rows.len()) }
                        }
                    }
                    @for row in rows { (line(report, row)) }
                }
            }
        }
    }
}

fn line(report: &Report, row: &Row) -> Markup {
    let sides = || {
        let baseline = report.baseline.as_ref().zip(row.baseline.as_ref());
        baseline.into_iter().chain([(&report.tested, &row.tested)])
    };
    let explained = row.reason.is_some()
        || sides().any(|(_, tally)| !tally.failures().is_empty() || tally.skip_reason().is_some());
    html! {
        tr.spec.(class(row.verdict)) data-verdict=(class(row.verdict)) data-flaky[row.is_flaky()] {
            th scope="row" {
                @if explained {
                    details {
                        summary { (name(row)) }
                        @if let Some(reason) = &row.reason { p.reason { "Listed as not runnable here: " (reason) "." } }
                        @for (side, tally) in sides() { (explanation(&side.handler, tally)) }
                    }
                } @else {
                    (name(row))
                }
            }
            @for (side, tally) in sides() { (cell(&side.handler, tally)) }
        }
    }
}

fn name(row: &Row) -> Markup {
    html! {
        span.title { (row.name.title) }
        @if row.verdict != Verdict::Passed { " " span.verdict { (row.verdict.word()) } }
    }
}

fn cell(handler: &str, tally: &Tally) -> Markup {
    let standing = tally.standing();
    html! {
        td.(standing.word()) data-handler=(handler) {
            span.icon aria-hidden="true" { (icon(standing)) }
            " " span.result { (tally) }
            @if let Some(time) = tally.time() { " " span.time { (seconds(Some(time))) " s" } }
        }
    }
}

fn explanation(handler: &str, tally: &Tally) -> Markup {
    html! {
        @if let Some(reason) = tally.skip_reason() { p { b { (handler) } " skipped: " (reason) } }
        @for (run, Failure { message, location, output }) in tally.failures() {
            p { b { (handler) } " failed, run " (run) @if !location.is_empty() { ", " code { (location) } } }
            pre tabindex="0" { (message) }
            @if !output.is_empty() {
                details { summary { "what the spec wrote" } pre tabindex="0" { (end_of(output)) } }
            }
        }
    }
}

fn end_of(text: &str) -> &str {
    match text.char_indices().rev().nth(OUTPUT_CHARACTERS) {
        Some((start, _)) => &text[start..],
        None => text,
    }
}

fn icon(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "✓",
        Standing::Failed => "✗",
        Standing::Flaky => "≈",
        Standing::Skipped => "–",
        Standing::Missing => "?",
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regression => "regression",
        Verdict::Failed => "failed",
        Verdict::PassesOnNeither => "neither",
        Verdict::NotRunnable => "not-runnable",
        Verdict::Skipped => "skipped",
        Verdict::Better => "better",
        Verdict::Passed => "passed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critest::ginkgo::Outcome;
    use crate::critest::report::tests::{everything, report};
    use crate::critest::tally::tests::run;

    #[test]
    fn each_spec_is_a_row_that_can_be_filtered_by_its_verdict() {
        let page = render(&everything());
        for verdict in Verdict::ALL {
            let row = format!("data-verdict=\"{}\"", class(verdict));
            assert_eq!(page.matches(&row).count(), 1, "{row}");
            assert!(page.contains(&format!("value=\"{}\"", class(verdict))));
        }
    }

    #[test]
    fn a_failure_is_unfolded_to_its_whole_text() {
        let page = render(&everything());
        assert!(page.contains("<pre tabindex=\"0\">lost it\nsecond line</pre>"), "{page}");
        assert!(page.contains("<code>a.go:1</code>"));
    }

    #[test]
    fn what_specs_say_is_text_never_markup() {
        let page = render(&everything());
        assert!(page.contains("own &lt;reason&gt;") && !page.contains("own <reason>"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = render(&everything());
        for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_row_that_has_nothing_to_explain_is_not_foldable() {
        let passing = [run(&[("it", Outcome::Passed)])];
        assert!(!render(&report(Some(&passing), &passing, "")).contains("<details"));
    }

    #[test]
    fn a_long_output_keeps_its_end() {
        let text = format!("{}end", "ä".repeat(OUTPUT_CHARACTERS * 2));
        assert!(end_of(&text).ends_with("end"));
        assert_eq!(end_of(&text).chars().count(), OUTPUT_CHARACTERS + 1);
    }
}
