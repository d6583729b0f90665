//! What a container asked for beyond its limits and what became of it, for a person.

use ballast_cgroups::priority::{Level, ObservedPriority};
use ballast_runtime::obstacle_to;

use crate::output::plain;

/// The level, and how much of it could not be had.
pub(super) fn brief(priority: Option<&ObservedPriority>) -> String {
    let Some(priority) = priority else { return "-".to_owned() };
    let level = priority.request.level.map_or_else(|| "-".to_owned(), |level| level.to_string());
    let left = priority.report.left().filter(|(_, mechanism)| obstacle_to(*mechanism).is_some());
    match priority.report.unset().count() + left.count() {
        0 => level,
        unset => format!("{level}, {unset} NOT SET: see show"),
    }
}

/// Every knob and every file.
pub(super) fn all(priority: &ObservedPriority) -> String {
    let level = |level: Option<Level>| level.map_or_else(|| "-".to_owned(), |level| level.to_string());
    let mut outcomes = plain(["PRIORITY", "OUTCOME"]);
    outcomes.add_row(["level".to_owned(), level(priority.request.level)]);
    outcomes.add_row(["of its pod".to_owned(), level(priority.pod_level)]);
    for entry in &priority.report.entries {
        let line = entry.to_string();
        let (_, outcome) = line.split_once(": ").unwrap_or_default();
        let mut mechanisms = priority.report.left().filter(|(knob, _)| *knob == entry.knob);
        let outcome = match mechanisms.find_map(|(_, mechanism)| obstacle_to(mechanism)) {
            Some(why) => format!("NOT SET: {why}"),
            None => outcome.to_owned(),
        };
        outcomes.add_row([format!("{} {}", entry.knob, entry.asked), outcome]);
    }
    for stuck in &priority.report.stuck {
        outcomes.add_row(["STUCK".to_owned(), stuck.to_string()]);
    }
    let mut parts = vec![outcomes.trim_fmt()];
    if !priority.files.is_empty() {
        let mut files = plain(["CHANGED FILE", "VALUE", "BEFORE", ""]);
        for file in &priority.files {
            files.add_row([
                file.path.display().to_string(),
                file.value.clone().unwrap_or_else(|| "gone".to_owned()),
                file.before.clone(),
                file.written.as_ref().map(|value| format!("{value} was written")).unwrap_or_default(),
            ]);
        }
        parts.push(files.trim_fmt());
    }
    parts.join("\n\n")
}
