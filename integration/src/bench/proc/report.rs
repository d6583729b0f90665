//! The results as a table for people and as Markdown.

use std::fmt;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, Table};

use super::driver::FILES;
use super::outcome::{Contender, Figures, Outcome};

/// What Ballast set itself for a live file, one reader, on an ordinary kernel.
const GOAL_US: f64 = 30.0;
/// And for memory.
const GOAL_KIB: f64 = 100.0;

/// A run's results.
#[derive(Debug)]
pub(super) struct Report<'a>(pub(super) &'a Outcome);

impl Report<'_> {
    pub(super) fn markdown(&self) -> String {
        let [times, costs] = self.tables(ASCII_MARKDOWN);
        format!("{}\n\n{times}\n\n{costs}\n\n{}\n", self.introduction(), self.conclusion())
    }

    fn introduction(&self) -> String {
        let Outcome { kernel, cpus, load, reads, has_limits, lxcfs, .. } = self.0;
        let limits = if *has_limits {
            "the container's memory and CPU time are limited"
        } else {
            "no controllers, so nothing is limited, and meminfo, vmstat, swaps and diskstats are the host's"
        };
        let whose = if lxcfs.shows_the_hosts_memory { ", which shows the host's memory here" } else { "" };
        let load = load.split(' ').next().unwrap_or_default();
        format!(
            "Linux {kernel}, CPUs: {cpus}, load {load}; lxcfs {}{whose}; {limits}. Microseconds for open, read to the end and close: \
             median (99th percentile) of {reads} reads.",
            lxcfs.version
        )
    }

    fn conclusion(&self) -> String {
        format!(
            "Memory of the serving process for one more container, all files read: {:.0} KiB (goal: < {GOAL_KIB}). \
             Goal for a live file with one reader on an ordinary kernel: <= {GOAL_US} us.",
            self.0.memory_kib_per_container
        )
    }

    fn tables(&self, preset: &str) -> [Table; 2] {
        let mut times = Table::new();
        times.load_preset(preset);
        times.set_header([
            "",
            "host",
            "lxcfs",
            "Ballast",
            "8 readers: host",
            "lxcfs",
            "Ballast",
            "reads/s: host",
            "lxcfs",
            "Ballast",
        ]);
        for file in FILES {
            let of = |contender, readers| self.0.find(file, contender, readers);
            let one = Contender::ALL.map(|contender| time(of(contender, 1)));
            let eight = Contender::ALL.map(|contender| time(of(contender, 8)));
            let rate = Contender::ALL.map(|contender| {
                of(contender, 8)
                    .map_or_else(|| "-".to_owned(), |figures| format!("{:.0}", figures.per_second))
            });
            times.add_row([vec![file.to_owned()], one.to_vec(), eight.to_vec(), rate.to_vec()].concat());
        }
        let mut costs = Table::new();
        costs.load_preset(preset);
        costs.set_header([
            "the server's cost of a read",
            "system calls: lxcfs",
            "Ballast",
            "CPU us: lxcfs",
            "Ballast",
        ]);
        let files = FILES.into_iter().filter(|file| self.0.cost(file, Contender::Ballast).is_some());
        for file in files {
            let of = |contender| self.0.cost(file, contender);
            let pair = [Contender::Lxcfs, Contender::Ballast];
            let calls = pair.map(|contender| {
                of(contender).map_or_else(|| "-".to_owned(), |cost| format!("{:.1}", cost.system_calls))
            });
            let cpu = pair.map(|contender| {
                of(contender).map_or_else(|| "-".to_owned(), |cost| format!("{:.1}", cost.cpu_us))
            });
            costs.add_row([vec![file.to_owned()], calls.to_vec(), cpu.to_vec()].concat());
        }
        for table in [&mut times, &mut costs] {
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        [times, costs]
    }
}

fn time(figures: Option<&Figures>) -> String {
    figures.map_or_else(
        || "-".to_owned(),
        |figures| {
            let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
            format!("{:.1} ({:.0})", us(figures.median_ns), us(figures.p99_ns))
        },
    )
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [times, costs] = self.tables(UTF8_HORIZONTAL_ONLY);
        writeln!(formatter, "{}\n\n{times}\n\n{costs}\n\n{}", self.introduction(), self.conclusion())
    }
}
