//! A check for a person.

use ballast_cgroups::priority::{Availability, NodeReport};
use ballast_runtime::obstacle_to;

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
    let mut parts = vec![facts.trim_fmt(), features(&report.features)];
    parts.extend(priorities(&report.priorities));
    parts.join("\n\n")
}

/// What is done for each knob, then what every backend has.
fn priorities(report: &NodeReport) -> Vec<String> {
    let mut treatments = plain(["PRIORITIES", "HERE BY"]);
    for treatment in &report.treatments {
        let mechanisms: Vec<&str> = treatment.mechanisms.iter().map(|mechanism| mechanism.name()).collect();
        let obstacle = treatment.mechanisms.iter().find_map(|mechanism| obstacle_to(*mechanism));
        let by = match (treatment.backend, mechanisms.is_empty(), obstacle) {
            (_, _, Some(why)) => format!("NOTHING, told as not set: {why}"),
            (_, false, None) => format!("Ballast itself ({})", mechanisms.join(", ")),
            (Some(backend), true, None) => format!("{backend}'s files"),
            (None, true, None) => "NOTHING, told as not set".to_owned(),
        };
        treatments.add_row([treatment.knob.to_string(), by]);
    }
    let mut backends = plain(["BACKEND", "KNOB", "FILES", "HERE"]);
    for backend in &report.backends {
        for knob in &backend.knobs {
            backends.add_row([
                backend.backend.to_string(),
                knob.knob.to_string(),
                if knob.files.is_empty() { "-".to_owned() } else { knob.files.join(" ") },
                match &knob.availability {
                    Availability::Present => "yes".to_owned(),
                    Availability::Absent { why } => why.to_string(),
                },
            ]);
        }
    }
    let looked_at = format!("priorities were looked for in {}", report.cgroup.display());
    let mut parts = vec![treatments.trim_fmt(), backends.trim_fmt(), looked_at];
    parts.extend(report.remarks.iter().map(ToString::to_string));
    parts
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
