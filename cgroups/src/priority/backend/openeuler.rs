//! openEuler: a group is offline (-1) or not (0), for CPU and for memory. Other numbers are written by some agents, but no
//! document says which kernels take them, so they are not used.
//! Tested against a model, not yet on the kernel.

use super::{Ask, Column, Row, Setting, Table, Work};
use crate::priority::knob::{Backend, Knob};
use crate::priority::probe::Gate;
use crate::priority::report::Reason;
use crate::priority::slot::Neutral;

/// Off or on, so what is between is told apart by weight.
const QOS_LEVEL: [Option<&str>; 8] = [Some("0"), None, None, None, None, None, None, Some("-1")];

pub(super) const TABLE: Table = Table {
    backend: Backend::OpenEuler,
    neutral: &[("cpu.qos_level", Neutral::Inherited), ("memory.qos_level", Neutral::Inherited)],
    rows: &[
        Row {
            knob: Knob::Cpu,
            files: &["cpu.qos_level"],
            unless: &[],
            gates: &[],
            work: Work::Levels(&[Column::both("cpu.qos_level", QOS_LEVEL)]),
        },
        Row {
            knob: Knob::Memory,
            files: &["memory.qos_level"],
            unless: &[],
            gates: &[&[Gate::if_there("vm.memcg_qos_enable")]],
            work: Work::Levels(&[Column::both("memory.qos_level", QOS_LEVEL)]),
        },
        Row {
            knob: Knob::MemoryAsyncReclaim,
            files: &["memory.high_async_ratio"],
            unless: &[],
            gates: &[],
            work: Work::Values(async_reclaim),
        },
    ],
};

/// Per cent of `memory.high`, without which it does nothing.
fn async_reclaim(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let start = ask.request.memory_async_reclaim.ok_or(Reason::NotExpressible)?;
    ask.bytes("memory.high").ok_or(Reason::NoMemoryLimit)?;
    Ok(vec![Setting::new("memory.high_async_ratio", start.hundredths())])
}
