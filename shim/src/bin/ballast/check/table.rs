//! A check for a person.

use super::report::{ConfigurationReport, Feature, Report};
use crate::output::plain;

pub(super) fn all(report: &Report) -> String {
    let mut facts = plain(["", ""]);
    for (name, value) in [
        ("kernel", report.kernel.clone()),
        ("cgroup v2", format!("{}: {}", report.hierarchy.display(), controllers(report))),
        ("systemd", if report.systemd { "owns units' cgroups" } else { "not running" }.to_owned()),
        ("configuration", configuration(&report.configuration)),
        (
            "looked at",
            report.cgroup.as_ref().map_or_else(|| "no cgroup".to_owned(), |path| path.display().to_string()),
        ),
    ] {
        facts.add_row([name.to_owned(), value]);
    }
    [facts.trim_fmt(), features(&report.features)].join("\n\n")
}

fn controllers(report: &Report) -> String {
    let there = report.controllers.join(" ");
    if report.missing_controllers.is_empty() {
        return there;
    }
    format!("{there}; MISSING {}: their limits are refused", report.missing_controllers.join(" "))
}

fn configuration(report: &ConfigurationReport) -> String {
    let path = report.path.display();
    match (&report.error, report.exists) {
        (Some(error), _) => format!("WRONG: {error}"),
        (None, true) => format!("{path}: fine"),
        (None, false) => format!("{path}: none, so the defaults hold"),
    }
}

fn features(features: &[Feature]) -> String {
    let mut table = plain(["KERNEL FEATURE", "SINCE", "HERE", "WITHOUT IT"]);
    for feature in features {
        let here = match (feature.present, &feature.reason) {
            (Some(true), _) => "yes".to_owned(),
            (Some(false), Some(reason)) => format!("NO: {reason}"),
            (Some(false), None) => "NO".to_owned(),
            (None, reason) => format!("unknown: {}", reason.as_deref().unwrap_or("not tried")),
        };
        table.add_row([feature.name.to_owned(), feature.since.to_owned(), here, feature.without.to_owned()]);
    }
    table.trim_fmt()
}
