//! Reports for a person.

use ballast_cgroups::memory_qos::Knob;

use super::priority;
use super::report::{Report, Reset, Setting};
use crate::amount::Amount;
use crate::output::{container_name, plain, short};

/// One line for each container.
pub(super) fn list(reports: &[Report]) -> String {
    let mut table = plain([
        "CONTAINER",
        "NAME",
        "POD",
        "CLASS",
        "POLICY",
        "REQUEST",
        "MIN",
        "LOW",
        "HIGH",
        "MAX",
        "CURRENT",
        "THROTTLED",
        "OOM KILLS",
        "PROTECTED",
        "PRIORITY",
    ]);
    for report in reports {
        let value = |knob| report.setting(knob).map_or_else(|| "-".to_owned(), brief);
        table.add_row([
            short(&report.id),
            container_name(&report.container),
            report.pod.clone(),
            report.qos_class.clone().unwrap_or_else(|| "-".to_owned()),
            report.policy.clone().unwrap_or_else(|| "-".to_owned()),
            request(report),
            value(Knob::Min),
            value(Knob::Low),
            value(Knob::High),
            report.memory_max.brief(),
            report.memory_current.rounded(),
            report.events.high.to_string(),
            report.events.oom_kill.to_string(),
            protected(report).to_owned(),
            priority::brief(report.priority.as_ref()),
        ]);
    }
    table.trim_fmt()
}

/// Everything about one container.
pub(super) fn show(report: &Report) -> String {
    let mut facts = plain(["", ""]);
    for (name, value) in [
        ("container", format!("{} ({})", container_name(&report.container), report.id)),
        ("pod", format!("{}/{}", report.pod_namespace, report.pod)),
        ("cgroup", report.cgroup.display().to_string()),
        ("class", report.qos_class.clone().unwrap_or_else(|| "not in a pod of kubelet's".to_owned())),
        ("policy", report.policy.clone().unwrap_or_else(|| "what kubelet sent".to_owned())),
        ("request", request(report)),
        ("memory.max", report.memory_max.to_string()),
        ("memory.current", report.memory_current.rounded()),
    ] {
        facts.add_row([name.to_owned(), value]);
    }
    let mut settings = plain(["FILE", "VALUE", "FROM", ""]);
    for setting in &report.settings {
        settings.add_row([
            setting.file.to_owned(),
            setting.value.to_string(),
            setting.source.clone().unwrap_or_else(|| "-".to_owned()),
            setting.decided.map(|decided| format!("{decided} was decided")).unwrap_or_default(),
        ]);
    }
    for withheld in &report.withheld {
        let reason = "the policy is off".to_owned();
        settings.add_row([withheld.file.to_owned(), "not set".to_owned(), withheld.source.clone(), reason]);
    }
    let mut ancestors = plain(["ABOVE IT", "memory.min", "memory.low", "KEPT BY"]);
    for ancestor in &report.ancestors {
        ancestors.add_row([
            ancestor.cgroup.display().to_string(),
            ancestor.memory_min.to_string(),
            ancestor.memory_low.to_string(),
            if ancestor.kept { "ballast" } else { "others" }.to_owned(),
        ]);
    }
    let events = &report.events;
    let mut parts = vec![
        facts.trim_fmt(),
        settings.trim_fmt(),
        ancestors.trim_fmt(),
        format!(
            "events: low {}, high {}, max {}, oom {}, oom_kill {}, oom_group_kill {}",
            events.low, events.high, events.max, events.oom, events.oom_kill, events.oom_group_kill
        ),
    ];
    parts.push(match &report.stalled {
        Some(stalled) => {
            format!("stalled for memory: some {} us, all {} us", stalled.some_usec, stalled.full_usec)
        }
        None => "stalled for memory: this kernel does not tell (PSI)".to_owned(),
    });
    parts.extend(report.priority.as_ref().map(priority::all));
    parts.extend(report.gaps.iter().map(|gap| format!("not protected: {}", gap.text)));
    parts.join("\n\n")
}

/// What was put back.
pub(super) fn resets(resets: &[Reset]) -> String {
    let mut table = plain(["CONTAINER", "NAME", "POD", "NEUTRAL AGAIN"]);
    for reset in resets {
        let files = if reset.files.is_empty() { "-".to_owned() } else { reset.files.join(", ") };
        table.add_row([short(&reset.id), container_name(&reset.container), reset.pod.clone(), files]);
    }
    table.trim_fmt()
}

fn brief(setting: &Setting) -> String {
    match &setting.source {
        Some(source) => format!("{} {source}", setting.value.brief()),
        None => setting.value.brief(),
    }
}

fn request(report: &Report) -> String {
    match &report.request {
        None => "-".to_owned(),
        Some(request) if request.slack_bytes > 0 => format!(
            "{} to {} {}",
            Amount(request.bytes).rounded(),
            Amount(request.bytes.saturating_add(request.slack_bytes)).rounded(),
            request.source
        ),
        Some(request) => format!("{} {}", Amount(request.bytes), request.source),
    }
}

/// Whether the kernel gives what is asked for.
fn protected(report: &Report) -> &'static str {
    let asks = [Knob::Min, Knob::Low]
        .into_iter()
        .any(|knob| report.setting(knob).is_some_and(|setting| setting.value != Amount(0)));
    match (asks, report.gaps.is_empty()) {
        (false, _) => "-",
        (true, true) => "yes",
        (true, false) => "NO: see show",
    }
}
