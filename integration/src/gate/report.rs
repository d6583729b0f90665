//! The comparison for people: a line for each total, and below it what has grown, call by call and function by function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, bail};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};

use super::budget::{Budget, Found, Kind, fold_small, most_instructions, most_memory, most_size};
use super::measured::Operation;

/// How many functions are named for one total that has grown.
const FUNCTIONS_SHOWN: usize = 12;

/// One comparison.
#[derive(Debug)]
pub(super) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    budget: u64,
    found: u64,
    most: u64,
    /// What has grown within it.
    grown: Vec<String>,
}

impl Report {
    /// # Errors
    /// When something has no budget, or nothing was counted for it: a gate that compares nothing would never close.
    pub(super) fn new(Budget(budget): &Budget, found: &Found) -> Result<Self> {
        let mut rows = Vec::new();
        for (place, budget, found) in pairs("system calls", &budget.syscalls, &found.syscalls)? {
            rows.extend(syscall_rows(&place, budget, found));
        }
        if !found.instructions.is_empty() {
            for (place, budget, found) in pairs("instructions", &budget.instructions, &found.instructions)? {
                rows.push(instruction_row(&place, budget, found));
            }
        }
        rows.extend(plain_rows("memory", &budget.memory, &found.memory, most_memory)?);
        rows.extend(plain_rows("size", &budget.sizes, &found.sizes, most_size)?);
        Ok(Self { rows })
    }

    pub(super) fn exceeds(&self) -> bool {
        self.rows.iter().any(Row::exceeds)
    }
}

impl Row {
    fn exceeds(&self) -> bool {
        self.found > self.most
    }

    /// So much less that the budget should follow.
    fn could_be_recorded(&self) -> bool {
        self.most - self.budget < self.budget.saturating_sub(self.found)
    }
}

type Counts = BTreeMap<String, u64>;

/// An operation, who did it, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    operation: String,
    process: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.operation, self.process)
    }
}

/// What both sides have counted, by operation and process.
fn pairs<'a>(
    what: &str,
    budget: &'a BTreeMap<String, Operation>,
    found: &'a BTreeMap<String, Operation>,
) -> Result<Vec<(Place, &'a Counts, &'a Counts)>> {
    let places = |side: &'a BTreeMap<String, Operation>| -> BTreeMap<Place, &'a Counts> {
        let of_operation = |(operation, processes): (&'a String, &'a Operation)| {
            processes.iter().map(move |(process, counts)| {
                (Place { operation: operation.clone(), process: process.clone() }, counts)
            })
        };
        side.iter().flat_map(of_operation).collect()
    };
    let (budget, found) = (places(budget), places(found));
    if let Some(place) = budget.keys().find(|place| !found.contains_key(*place)) {
        bail!("no {what} were counted for {place}, which has a budget");
    }
    found
        .into_iter()
        .map(|(place, found)| match budget.get(&place) {
            Some(budget) => Ok((place, *budget, found)),
            None => bail!("{place} has no budget of {what}; record one"),
        })
        .collect()
}

fn syscall_rows(place: &Place, budget: &Counts, found: &Counts) -> Vec<Row> {
    let kinds =
        [(Kind::Work, ""), (Kind::Scheduling, " of scheduling"), (Kind::Process, " that make processes")];
    kinds
        .into_iter()
        .map(|(kind, suffix)| {
            let total = |counts: &Counts| {
                counts.iter().filter(|(call, _)| Kind::of(call) == kind).map(|(_, count)| count).sum()
            };
            let (total_budget, total_found) = (total(budget), total(found));
            let of_kind = |grown: &(i128, &str, u64, u64)| Kind::of(grown.1) == kind;
            Row {
                what: format!("{place}: system calls{suffix}"),
                budget: total_budget,
                found: total_found,
                most: kind.most(&place.process, total_budget),
                grown: shown(growth(budget, found).into_iter().filter(of_kind), usize::MAX),
            }
        })
        .filter(|row| row.budget > 0 || row.found > 0)
        .collect()
}

fn instruction_row(place: &Place, budget: &Counts, found: &Counts) -> Row {
    let mut found = found.clone();
    fold_small(&mut found);
    let total = |counts: &Counts| counts.values().sum();
    let budget_total = total(budget);
    Row {
        what: format!("{place}: instructions"),
        budget: budget_total,
        found: total(&found),
        most: most_instructions(budget_total),
        grown: shown(growth(budget, &found).into_iter(), FUNCTIONS_SHOWN),
    }
}

fn plain_rows(what: &str, budget: &Counts, found: &Counts, most: fn(u64) -> u64) -> Result<Vec<Row>> {
    found
        .iter()
        .map(|(name, found)| match budget.get(name) {
            Some(budget) => Ok(Row {
                what: format!("{what}: {name} (bytes)"),
                budget: *budget,
                found: *found,
                most: most(*budget),
                grown: Vec::new(),
            }),
            None => bail!("{what} {name} has no budget; record one"),
        })
        .collect()
}

/// What there is more of now, the greatest difference first.
fn growth<'a>(budget: &'a Counts, found: &'a Counts) -> Vec<(i128, &'a str, u64, u64)> {
    let names: BTreeSet<&str> = budget.keys().chain(found.keys()).map(String::as_str).collect();
    let count = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or_default();
    let mut grown: Vec<_> = names
        .into_iter()
        .map(|name| (count(budget, name), count(found, name), name))
        .filter(|(before, now, _)| now > before)
        .map(|(before, now, name)| (i128::from(now) - i128::from(before), name, before, now))
        .collect();
    grown.sort_by_key(|(more, ..)| std::cmp::Reverse(*more));
    grown
}

fn shown<'a>(grown: impl Iterator<Item = (i128, &'a str, u64, u64)>, most: usize) -> Vec<String> {
    grown.take(most).map(|(more, name, before, now)| format!("{before} -> {now} (+{more})  {name}")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(UTF8_HORIZONTAL_ONLY);
        table.set_header(["", "budget", "at most", "counted", ""]);
        for column in table.column_iter_mut().skip(1).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in &self.rows {
            let verdict = match row {
                row if row.exceeds() => "too many",
                row if row.could_be_recorded() => "fewer: record it",
                _ => "",
            };
            let numbers = [row.budget, row.most, row.found].map(|number| number.to_string());
            let [budget, most, found] = numbers;
            table.add_row([row.what.clone(), budget, most, found, verdict.to_owned()]);
        }
        writeln!(formatter, "{table}")?;
        for row in self.rows.iter().filter(|row| row.exceeds()) {
            writeln!(formatter, "\n{}: {} instead of {}; what grew:", row.what, row.found, row.budget)?;
            for line in &row.grown {
                writeln!(formatter, "  {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(calls: &[(&str, u64)]) -> Found {
        let calls: Counts = calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let operation = Operation::from([("shim".to_owned(), calls)]);
        Found { syscalls: BTreeMap::from([("exec".to_owned(), operation)]), ..Found::default() }
    }

    #[test]
    fn what_grew_is_named_call_by_call() {
        let budget = Budget(found(&[("openat", 10), ("close", 10), ("read", 3)]));
        let report = Report::new(&budget, &found(&[("openat", 12), ("close", 10), ("write", 2)])).unwrap();
        assert!(!report.exceeds(), "24 instead of 23 is within the slack");
        let report = Report::new(&budget, &found(&[("openat", 18), ("close", 10), ("write", 2)])).unwrap();
        assert!(report.exceeds());
        let text = report.to_string();
        assert!(text.contains("10 -> 18 (+8)  openat") && text.contains("0 -> 2 (+2)  write"), "{text}");
        assert!(!text.contains("close"), "{text}");
    }

    #[test]
    fn one_more_process_exceeds_the_budget_whatever_else_became_less() {
        let budget = Budget(found(&[("openat", 10), ("clone3", 1)]));
        let report = Report::new(&budget, &found(&[("openat", 1), ("clone3", 2)])).unwrap();
        assert!(report.exceeds());
        assert!(report.to_string().contains("1 -> 2 (+1)  clone3"));
    }

    #[test]
    fn what_is_missing_on_either_side_is_an_error() {
        let (some, none) = (found(&[("read", 1)]), Found::default());
        assert!(Report::new(&Budget(some.clone()), &none).is_err());
        assert!(Report::new(&Budget(none), &some).is_err());
    }

    #[test]
    fn functions_that_grew_are_named() {
        let counts = |hash: u64| {
            let functions = Counts::from([("hash".to_owned(), hash), ("parse".to_owned(), 1_000_000)]);
            let operation = Operation::from([("shim".to_owned(), functions)]);
            Found { instructions: BTreeMap::from([("start".to_owned(), operation)]), ..Found::default() }
        };
        let report = Report::new(&Budget(counts(100_000)), &counts(200_000)).unwrap();
        assert!(report.exceeds() && report.to_string().contains("100000 -> 200000 (+100000)  hash"));
    }
}
