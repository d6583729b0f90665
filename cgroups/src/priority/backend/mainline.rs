//! What every kernel has.
//!
//! CPU is weighed among siblings, and a container's siblings are of its own pod: so the pod's cgroup is lowered, too. kubelet writes a pod's
//! `cpu.weight` when it makes the pod, before anybody asks for a priority, and when it resizes it; the kernel refuses the latter while the pod is
//! idle.
//!
//! `memory.min`, `memory.low`, `memory.high` and `memory.oom.group` are not written here: they have one owner, which is memory QoS.

use super::{Ask, Row, Setting, Table, Work};
use crate::limits::DeviceNumber;
use crate::priority::knob::{Backend, Knob, Mechanism};
use crate::priority::level::Level;
use crate::priority::report::Reason;
use crate::priority::request::{DiskLimit, DiskTarget, DiskWeight};
use crate::priority::slot::{IDLE, Slot};

pub(super) const TABLE: Table = Table {
    backend: Backend::Mainline,
    neutral: &[],
    rows: &[
        row(Knob::Cpu, &["cpu.weight", "cpu.idle"], Work::Both(cpu)),
        row(Knob::Cpu, &["cpu.weight"], Work::Both(cpu_before_5_15)),
        row(Knob::Memory, &[], Work::Left(&[Mechanism::MemoryQos, Mechanism::OomScoreAdj])),
        row(Knob::DiskWeight, &[], Work::Values(disk_weight)),
        row(Knob::DiskWeight, &["io.prio.class"], Work::Values(disk_class)),
        row(Knob::NetPriority, &[], Work::Left(&[Mechanism::PacketPriority])),
        row(Knob::CpuBurst, &["cpu.max.burst"], Work::Values(cpu_burst)),
        row(Knob::CpuSmtIsolation, &[], Work::Left(&[Mechanism::CoreScheduling])),
        row(Knob::MemoryAsyncReclaim, &["memory.reclaim"], Work::Left(&[Mechanism::UserSpaceReclaim])),
        row(Knob::PageCacheLimit, &["memory.reclaim"], Work::Left(&[Mechanism::UserSpaceReclaim])),
        row(Knob::DiskLimits, &["io.max"], Work::Values(disk_limits)),
        row(Knob::NetLimits, &[], Work::Left(&[Mechanism::PacketPacing])),
    ],
};

const fn row(knob: Knob, files: &'static [&'static str], work: Work) -> Row {
    Row { knob, files, unless: &[], gates: &[], work }
}

/// Half of what it is one level above: by `cpu.weight`, which is the limits' at level 0.
fn halved(weight: u64, level: Level) -> u64 {
    (weight >> level.number()).max(1)
}

fn cpu(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    match ask.request.level {
        Some(Level::OFFLINE) => Ok(vec![Setting { slot: Slot::CpuShare, value: IDLE.to_owned() }]),
        _ => cpu_before_5_15(ask),
    }
}

/// Without `cpu.idle` the lowest level is the next smaller weight.
fn cpu_before_5_15(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    match (ask.request.level, ask.cpu_weight) {
        (Some(Level::ONLINE), _) => Ok(Vec::new()),
        (Some(level), Some(weight)) => {
            Ok(vec![Setting { slot: Slot::CpuShare, value: halved(weight, level).to_string() }])
        }
        (None, _) | (_, None) => Err(Reason::NotExpressible),
    }
}

/// For the file of each mechanism that a disk of this node has. Both files have 100 as their default, and their weights count by
/// proportion, so a weight is the same in both.
fn disk_weight(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let weight = match (ask.request.disk_weight, ask.request.level) {
        (Some(weight), _) => u64::from(weight.number()),
        (None, Some(Level::ONLINE)) => return Ok(Vec::new()),
        (None, Some(level)) => halved(u64::from(DiskWeight::DEFAULT.number()), level),
        (None, None) => return Err(Reason::NotExpressible),
    };
    let disks = ask.probe.disks();
    let mut settings = Vec::new();
    if disks.iter().any(|disk| disk.scheduler == "bfq") {
        settings.push(Setting::new("io.bfq.weight", weight));
    }
    if disks.iter().any(|disk| disk.scheduler != "bfq" && disk.cost_model) {
        settings.push(Setting::new("io.weight", weight));
    }
    if settings.is_empty() { Err(Reason::NoWeighingDisk) } else { Ok(settings) }
}

/// Classes instead of weights, which only a level can mean.
fn disk_class(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    if ask.request.disk_weight.is_some() {
        return Err(Reason::NotExpressible);
    }
    let class = match ask.request.level.ok_or(Reason::NotExpressible)? {
        Level::ONLINE => return Ok(Vec::new()),
        Level::OFFLINE => "idle",
        _ => "restrict-to-be",
    };
    // The others do not look at it.
    if ask.probe.disks().iter().any(|disk| matches!(disk.scheduler.as_str(), "bfq" | "mq-deadline")) {
        Ok(vec![Setting::new("io.prio.class", class)])
    } else {
        Err(Reason::NoWeighingDisk)
    }
}

fn cpu_burst(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let burst = ask.request.cpu_burst.ok_or(Reason::NotExpressible)?;
    let quota = ask.files.read(ask.directory, "cpu.max").unwrap_or_default();
    if burst.0 > 0 && (quota.is_empty() || quota.starts_with("max")) {
        return Err(Reason::NoCpuQuota);
    }
    Ok(vec![Setting::new("cpu.max.burst", burst.0)])
}

fn disk_limits(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let limits = &ask.request.disk_limits;
    let named = |number: DeviceNumber| limits.iter().any(|limit| limit.target == DiskTarget::Device(number));
    let mut settings = Vec::new();
    for limit in limits {
        match limit.target {
            DiskTarget::Device(number) => settings.push(rates(number, limit)),
            DiskTarget::All => {
                let others = ask.probe.disks().iter().map(|disk| disk.number);
                settings.extend(others.filter(|number| !named(*number)).map(|number| rates(number, limit)));
            }
        }
    }
    Ok(settings)
}

fn rates(number: DeviceNumber, limit: &DiskLimit) -> Setting {
    let rates = limit.rates().map(|(key, rate)| match rate {
        None | Some(0) => format!("{key}=max"),
        Some(rate) => format!("{key}={rate}"),
    });
    Setting { slot: Slot::Rates(number), value: rates.join(" ") }
}
