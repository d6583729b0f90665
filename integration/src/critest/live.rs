//! What a person sees while suites run: one line per handler that is kept up to date on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::stream::{Change, Headway, Reader};

/// A plain line is printed each time that this many specs have ended.
const PLAIN_STEP: u32 = 20;

/// The lines of all handlers.
#[derive(Debug)]
pub(super) struct Display {
    bars: Option<MultiProgress>,
    width: usize,
}

impl Display {
    /// On standard error; `labels` are what lines will begin with, for their common width.
    pub(super) fn new(labels: &[&str]) -> Self {
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
        Self { bars: std::io::stderr().is_terminal().then(MultiProgress::new), width }
    }

    /// The line of one run.
    pub(super) fn line(&self, label: &str) -> Line {
        let label = format!("{label:<width$}", width = self.width);
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("  {spinner} {prefix} {elapsed:>4} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner()).with_style(style).with_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Line { label, bar, reader: Reader::default() }
    }
}

/// One run's line. Dropping it clears it.
#[derive(Debug)]
pub(super) struct Line {
    label: String,
    bar: Option<ProgressBar>,
    reader: Reader,
}

impl Line {
    /// Takes a line of critest's output.
    pub(super) fn feed(&mut self, line: &str) {
        let change = self.reader.line(line);
        let headway = self.reader.headway();
        match (&self.bar, change) {
            (_, Change::Nothing) => {}
            (Some(bar), Change::Failed(name)) => {
                bar.println(format!("  FAILED {} {name}", self.label));
                bar.set_message(shown(headway, &headway.current));
            }
            (Some(bar), Change::Current | Change::Done) => {
                bar.set_message(shown(headway, &headway.current));
            }
            (None, Change::Failed(name)) => {
                eprintln!("  {} {}", self.label, shown(headway, &format!("FAILED {name}")))
            }
            (None, Change::Done) if headway.done.is_multiple_of(PLAIN_STEP) => {
                eprintln!("  {} {}", self.label, shown(headway, ""));
            }
            (None, Change::Current | Change::Done) => {}
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn shown(headway: &Headway, more: &str) -> String {
    let total = headway.total.map_or(String::new(), |total| format!("/{total}"));
    let failed = if headway.failed > 0 { format!(", {} failed", headway.failed) } else { String::new() };
    format!("{}{total}{failed}  {more}", headway.done).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_many_ended_and_how_many_failed() {
        let mut headway = Headway { total: Some(117), done: 34, failed: 0, current: String::new() };
        assert_eq!(shown(&headway, "Networking should work"), "34/117  Networking should work");
        headway.failed = 2;
        assert_eq!(shown(&headway, ""), "34/117, 2 failed");
        headway.total = None;
        assert_eq!(shown(&headway, ""), "34, 2 failed");
    }
}
