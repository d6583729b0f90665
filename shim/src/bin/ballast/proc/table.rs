//! Reports for a person.

use super::report::{Change, Report};
use crate::output::{container_name, plain, short};

/// One line for each container.
pub(super) fn list(reports: &[Report]) -> String {
    let mut lines =
        plain(["CONTAINER", "NAME", "POD", "VIEW", "LIVE", "LASTING", "KERNEL", "READS", "FALLBACKS"]);
    for report in reports {
        lines.add_row([
            short(&report.id),
            container_name(&report.container),
            report.pod.clone(),
            report.view.to_owned(),
            report.count("live").to_string(),
            report.count("lasting").to_string(),
            report.count("kernel").to_string(),
            report.reads.to_string(),
            report.fallbacks.to_string(),
        ]);
    }
    lines.trim_fmt()
}

/// One line for each file.
pub(super) fn show(reports: &[Report]) -> String {
    let mut lines = plain(["CONTAINER", "NAME", "FILE", "MECHANISM"]);
    for report in reports {
        for file in &report.files {
            lines.add_row([
                short(&report.id),
                container_name(&report.container),
                file.path.clone(),
                file.mechanism.to_owned(),
            ]);
        }
    }
    lines.trim_fmt()
}

/// What was done, one line for each container.
pub(super) fn changes(changes: &[Change]) -> String {
    let mut lines = plain(["CONTAINER", "NAME", "POD", "CHANGED", ""]);
    for change in changes {
        lines.add_row([
            short(&change.id),
            container_name(&change.container),
            change.pod.clone(),
            change.paths.len().to_string(),
            change.failure.clone().unwrap_or_default(),
        ]);
    }
    lines.trim_fmt()
}
