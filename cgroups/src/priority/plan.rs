//! Which backend does which knob of a request, with which values. Reads, and writes nothing.

use std::collections::BTreeSet;

use super::backend::{Ask, Here, Setting, TABLES, Work};
use super::knob::{Backend, Knob, Mechanism};
use super::report::{PassedOver, Reason};
use super::request::{DiskLimit, Request};

/// One row of one backend's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowId {
    table: usize,
    row: usize,
}

/// What the kernel refused; that row is not tried again for this request.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    pub(super) row: RowId,
    pub(super) reason: Reason,
}

/// What is done for one knob.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) knob: Knob,
    pub(super) asked: String,
    pub(super) chosen: Chosen,
    pub(super) passed_over: Vec<PassedOver>,
}

#[derive(Debug)]
pub(super) enum Chosen {
    Written { backend: Backend, row: RowId, settings: Vec<Setting> },
    Left(&'static [Mechanism]),
    Unset,
}

/// What a container's own limits set: files by their names, disks' lines of `io.max` as slots spell them.
pub(super) type Taken = BTreeSet<String>;

/// Chooses for each knob that is asked for.
pub(super) fn plan(ask: &Ask<'_>, taken: &Taken, rejected: &[Rejected]) -> Vec<Choice> {
    let knobs = Knob::ALL.into_iter();
    knobs
        .filter_map(|knob| Some((knob, asked(ask.request, knob)?)))
        .map(|(knob, words)| choose(ask, knob, words, taken, rejected))
        .collect()
}

fn choose(ask: &Ask<'_>, knob: Knob, asked: String, taken: &Taken, rejected: &[Rejected]) -> Choice {
    let mut passed_over = Vec::new();
    for (table_index, table) in TABLES.iter().enumerate() {
        for (row_index, row) in table.rows.iter().enumerate() {
            if row.knob != knob || !row.is_for(ask.probe) {
                continue;
            }
            let id = RowId { table: table_index, row: row_index };
            let before = rejected.iter().find(|rejected| rejected.row == id);
            let reason = before
                .map(|rejected| rejected.reason.clone())
                .or_else(|| ask.probe.missing(row.files))
                .or_else(|| ask.probe.gated(row.gates));
            let settings = match (reason, &row.work) {
                (Some(reason), _) => Err(reason),
                (None, Work::Left(_)) if ask.here == Here::Pod => continue,
                (None, Work::Left(mechanisms)) => {
                    return done(knob, asked, Chosen::Left(mechanisms), passed_over);
                }
                (None, _) => row.settings(ask).and_then(|settings| untaken(settings, ask, taken)),
            };
            match settings {
                Ok(settings) => {
                    let chosen = Chosen::Written { backend: table.backend, row: id, settings };
                    return done(knob, asked, chosen, passed_over);
                }
                Err(reason) => {
                    let is_decided = matches!(reason, Reason::Taken { .. });
                    passed_over.push(PassedOver { backend: table.backend, reason });
                    // The limits' word is not to be got round with another file.
                    if is_decided {
                        return done(knob, asked, Chosen::Unset, passed_over);
                    }
                }
            }
        }
    }
    Choice { knob, asked, chosen: Chosen::Unset, passed_over }
}

/// That a node does not have another kernel's files is worth no word where something else did, or decided, it.
fn done(knob: Knob, asked: String, chosen: Chosen, mut passed_over: Vec<PassedOver>) -> Choice {
    passed_over.retain(|passed| {
        passed.backend == Backend::Mainline
            || !matches!(passed.reason, Reason::Missing { .. } | Reason::NotExpressible)
    });
    Choice { knob, asked, chosen, passed_over }
}

fn untaken(settings: Vec<Setting>, ask: &Ask<'_>, taken: &Taken) -> Result<Vec<Setting>, Reason> {
    for setting in &settings {
        let name = setting.slot.to_string();
        if taken.contains(&name) {
            return Err(Reason::Taken { file: name });
        }
        let file = setting.slot.file_name();
        if !ask.probe.has(file) {
            return Err(Reason::Missing { file: file.to_owned() });
        }
    }
    Ok(settings)
}

/// What `request` asks of `knob`, in words; `None` when nothing.
fn asked(request: &Request, knob: Knob) -> Option<String> {
    let words = |value: &dyn ToString| Some(value.to_string());
    let level = || request.level.as_ref().and_then(|level| words(level));
    match knob {
        Knob::Cpu | Knob::Memory => level(),
        Knob::DiskWeight => match request.disk_weight {
            Some(weight) => Some(format!("weight {weight}")),
            None => level(),
        },
        Knob::NetPriority => request.net_priority.map(|level| match request.net_mark {
            Some(mark) => format!("{level}, mark {mark}"),
            None => level.to_string(),
        }),
        Knob::CpuBurst => request.cpu_burst.as_ref().and_then(|burst| words(burst)),
        Knob::CpuSmtIsolation => request.smt_isolation.then(|| "yes".to_owned()),
        Knob::MemoryAsyncReclaim => {
            request.memory_async_reclaim.map(|start| format!("from {start} of the memory limit"))
        }
        Knob::PageCacheLimit => request.page_cache_limit.as_ref().and_then(|limit| words(limit)),
        Knob::DiskLimits if request.disk_limits.is_empty() => None,
        Knob::DiskLimits => {
            let limits: Vec<String> = request.disk_limits.iter().map(DiskLimit::to_string).collect();
            Some(limits.join(", "))
        }
        Knob::NetLimits => request.net_limits.as_ref().and_then(|limits| words(limits)),
    }
}
