//! The results as one page that needs nothing else: for each quantity every single value of every handler, its middle half,
//! median and p99.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::report::{Report, Row};
use super::samples::Side;

/// A plot's length, as a percentage of its width: the rest is room for the marks at both ends.
const WIDTH: f64 = 98.0;
const MARGIN: f64 = 1.0;
/// A value is far beyond the rest of a handler's from this multiple of three quarters of them on.
const FAR_BEYOND: u64 = 2;
/// Half of a plot's height, in pixels.
const MIDDLE: f64 = 13.0;

pub(super) fn render(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Ballast beside crun and runc" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    h1 { "Ballast beside crun and runc" }
                    dl.facts {
                        @for (name, value) in report.facts() { div { dt { (name) } dd { (value) } } }
                    }
                    p.legend {
                        "Each dot is one measurement, the bar is the middle half, the line in it the median, the hollow mark p99. "
                        "What lies far beyond the rest is at the right edge. Less is better, but for throughput."
                    }
                }
                main { @for row in &report.rows { (quantity(row)) } }
            }
        }
    };
    page.into_string()
}

fn quantity(row: &Row) -> Markup {
    let [of_crun, of_runc] = row.ratios();
    html! {
        section {
            h2 { (row.what) span.unit { (row.unit.suffix()) } }
            p.ratios {
                @if !of_crun.is_empty() { span { b { (of_crun) } " × crun" } }
                @if !of_runc.is_empty() { span { b { (of_runc) } " × runc" } }
                @if let Some((goal, met)) = row.goal() {
                    span.(if met { "met" } else { "missed" }) {
                        (if met { "✓ " } else { "✗ " }) "goal " (goal)
                    }
                }
            }
            div.lanes {
                @let most = scale(row);
                @for (handler, side) in row.sides() { (lane(row, handler, side, most)) }
            }
        }
    }
}

/// What the plots' right edge stands for: the greatest value, unless it would press all others together.
fn scale(row: &Row) -> u64 {
    let end = |side: &Side| {
        let greatest = side.values.iter().copied().max().unwrap_or_default();
        greatest.min(side.quartiles.p75.saturating_mul(FAR_BEYOND))
    };
    row.sides().iter().map(|(_, side)| end(side)).max().unwrap_or_default()
}

fn lane(row: &Row, handler: &str, side: &Side, most: u64) -> Markup {
    let median = row.unit.value(side.quartiles.median);
    let p99 = row.unit.value(side.quartiles.p99);
    html! {
        span.handler { (handler) }
        (plot(handler, side, most))
        span.figures { b { (median) } @if side.values.len() > 1 { " " span.p99 { "p99 " (p99) } } }
    }
}

fn plot(handler: &str, side: &Side, most: u64) -> Markup {
    let length = |value: u64| share(value, most) * WIDTH;
    let x = |value: u64| percent(MARGIN + length(value));
    let quartiles = &side.quartiles;
    let half = (length(quartiles.p75) - length(quartiles.p25)).max(0.4);
    html! {
        svg.(handler) role="img" aria-label={ (handler) ": " (side.values.len()) " measurements" } {
            line.axis x1="0" x2="100%" y1=(MIDDLE) y2=(MIDDLE) {}
            rect.bar x=(x(0)) y=(MIDDLE - 3.0) width=(percent(length(quartiles.median))) height="6" {}
            rect.half x=(x(quartiles.p25)) y=(MIDDLE - 8.0) width=(percent(half)) height="16" rx="2" {}
            @for (index, value) in side.values.iter().enumerate() {
                circle.value cx=(x(*value)) cy=(MIDDLE + jitter(index)) r="1.8" {}
            }
            line.median x1=(x(quartiles.median)) x2=(x(quartiles.median)) y1=(MIDDLE - 10.0) y2=(MIDDLE + 10.0) {}
            circle.high cx=(x(quartiles.p99)) cy=(MIDDLE) r="3.4" {}
        }
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn share(value: u64, most: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a place on a page")]
    let share = value as f64 / most.max(1) as f64;
    share.min(1.0)
}

/// Keeps equal values apart, the same on every page.
fn jitter(index: usize) -> f64 {
    const STEPS: [f64; 7] = [0.0, 4.0, -4.0, 2.0, -2.0, 6.0, -6.0];
    STEPS[index % STEPS.len()]
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn every_value_of_every_handler_is_on_the_page() {
        let report = report(|_| ()).unwrap();
        let page = render(&report);
        assert_eq!(page.matches("class=\"value\"").count(), report.rows.len() * 9);
        assert_eq!(page.matches("<section>").count(), report.rows.len());
    }

    #[test]
    fn a_value_far_beyond_the_rest_is_at_the_edge_and_leaves_them_their_room() {
        assert!((share(4_000, 200) - 1.0).abs() < f64::EPSILON);
        assert!((share(100, 200) - 0.5).abs() < f64::EPSILON);
        let rows = report(|_| ()).unwrap().rows;
        assert_eq!(scale(&rows[0]), 3_000_000);
    }

    #[test]
    fn versions_are_text_never_markup() {
        let page = render(&report(|_| ()).unwrap());
        assert!(page.contains("0.1 &lt;b&gt;") && !page.contains("0.1 <b>"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = render(&report(|_| ()).unwrap());
        for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
