//! What a node has for priorities, found as for a container: by the files of a cgroup and the switches behind them.

use super::backend::{Ask, Here, Row, TABLES, Work};
use super::files::Files;
use super::knob::Knob;
use super::level::Level;
use super::node_report::{Availability, BackendReport, KnobReport, NodeReport, Remark, Treatment};
use super::plan::{Chosen, Taken, plan};
use super::probe::Probe;
use super::report::Reason;
use super::request::Request;
use crate::error::Result;

/// Where pods are, by kubelet's cgroup drivers; a cgroup like theirs is what has to be looked at.
const KUBEPODS: [&str; 2] = ["kubepods", "kubepods.slice"];

pub(super) fn support(files: &dyn Files) -> Result<NodeReport> {
    let directory = example(files)?;
    let probe = Probe::of(files, &directory)?;
    let backends = TABLES.iter().map(|table| BackendReport {
        backend: table.backend,
        knobs: table
            .rows
            .iter()
            .filter(|row| writes(row) && row.is_for(&probe))
            .map(|row| knob_report(row, &probe))
            .collect(),
    });
    Ok(NodeReport {
        cgroup: files.path(&directory),
        backends: backends.collect(),
        treatments: Knob::ALL.into_iter().map(|knob| treatment(files, &directory, &probe, knob)).collect(),
        remarks: remarks(files),
    })
}

/// A cgroup that is not the root, whose files are others. The one with most files has most controllers.
fn example(files: &dyn Files) -> Result<String> {
    let children = files.children("")?;
    if let Some(kubepods) = KUBEPODS.iter().find(|name| children.iter().any(|child| child == *name)) {
        return Ok((*kubepods).to_owned());
    }
    let count = |child: &String| files.names(child).map_or(0, |names| names.len());
    Ok(children.into_iter().max_by_key(count).unwrap_or_default())
}

fn writes(row: &Row) -> bool {
    !matches!(row.work, Work::Left(_))
}

fn knob_report(row: &Row, probe: &Probe<'_>) -> KnobReport {
    let why = why_absent(row, probe);
    let availability = why.map_or(Availability::Present, |why| Availability::Absent { why });
    KnobReport { knob: row.knob, files: files_of(row), availability }
}

fn files_of(row: &Row) -> Vec<String> {
    if row.knob == Knob::DiskWeight && row.files.is_empty() {
        return ["io.bfq.weight", "io.weight"].map(str::to_owned).into();
    }
    row.files.iter().map(|file| (*file).to_owned()).collect()
}

fn why_absent(row: &Row, probe: &Probe<'_>) -> Option<Reason> {
    if !row.is_for(probe) {
        let file = row.files.first().copied().unwrap_or_default();
        return Some(Reason::Missing { file: file.to_owned() });
    }
    let weighs = |scheduler: &str, cost_model: bool| match row.files {
        ["io.prio.class"] => matches!(scheduler, "bfq" | "mq-deadline"),
        _ => (scheduler == "bfq" && probe.has("io.bfq.weight")) || (cost_model && probe.has("io.weight")),
    };
    let weighing = |row: &Row| {
        row.knob != Knob::DiskWeight
            || probe.disks().iter().any(|disk| weighs(&disk.scheduler, disk.cost_model))
    };
    probe
        .missing(row.files)
        .or_else(|| probe.gated(row.gates))
        .or_else(|| (!weighing(row)).then_some(Reason::NoWeighingDisk))
}

/// What is done for a container at the lowest level, or with the finer knob.
fn treatment(files: &dyn Files, directory: &str, probe: &Probe<'_>, knob: Knob) -> Treatment {
    if matches!(knob, Knob::Cpu | Knob::Memory | Knob::DiskWeight) {
        let request = Request { level: Some(Level::OFFLINE), ..Request::default() };
        let ask =
            Ask { files, directory, probe, here: Here::Container, request: &request, cpu_weight: Some(100) };
        let choices = plan(&ask, &Taken::new(), &[]);
        let chosen = choices.into_iter().find(|choice| choice.knob == knob).map(|choice| choice.chosen);
        return match chosen {
            Some(Chosen::Written { backend, .. }) => {
                Treatment { knob, backend: Some(backend), mechanisms: Vec::new() }
            }
            Some(Chosen::Left(mechanisms)) => {
                Treatment { knob, backend: None, mechanisms: mechanisms.to_vec() }
            }
            Some(Chosen::Unset) | None => Treatment { knob, backend: None, mechanisms: Vec::new() },
        };
    }
    let rows = TABLES.iter().flat_map(|table| table.rows.iter().map(move |row| (table.backend, row)));
    let mut present = rows.filter(|(_, row)| row.knob == knob && why_absent(row, probe).is_none());
    match present.next() {
        Some((_, Row { work: Work::Left(mechanisms), .. })) => {
            Treatment { knob, backend: None, mechanisms: mechanisms.to_vec() }
        }
        Some((backend, _)) => Treatment { knob, backend: Some(backend), mechanisms: Vec::new() },
        None => Treatment { knob, backend: None, mechanisms: Vec::new() },
    }
}

/// Of a hierarchy that only version 1 of the cgroup file system has.
const V1_CPU: &str = "/sys/fs/cgroup/cpu/cpu.shares";
/// Of kernels with BT.
const BT: [&str; 2] = ["/proc/bt_stat", "/proc/sys/kernel/sched_bt_period_us"];

fn remarks(files: &dyn Files) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if files.node(V1_CPU).is_ok() && BT.iter().any(|file| files.node(file).is_ok()) {
        remarks.push(Remark::TencentOsCgroupV1);
    }
    let root_switch = files.read("", "memory.use_priority_oom").unwrap_or_default();
    if root_switch == "0" {
        remarks
            .push(Remark::GlobalOomIgnoresPriorities { gate: "memory.use_priority_oom of the root cgroup" });
    }
    if files.node("/proc/sys/vm/use_priority_oom").is_ok_and(|content| content.trim() == "0") {
        remarks.push(Remark::GlobalOomIgnoresPriorities { gate: "vm.use_priority_oom" });
    }
    remarks
}
