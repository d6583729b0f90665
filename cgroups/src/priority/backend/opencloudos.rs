//! OpenCloudOS 6.6: a group is moved to a scheduling class of its own. `cpu.scx` and `cpu.offline` are two names of one file, of
//! which one is written. Memory and network are RUE's, which is TencentOS' table.
//! Tested against a model, not yet on the kernel.

use super::{Column, Row, Table, Work};
use crate::priority::knob::{Backend, Knob};
use crate::priority::probe::Gate;
use crate::priority::slot::Neutral;

/// Off or on, so what is between is told apart by weight.
const OFFLINE: [Option<&str>; 8] = [Some("0"), None, None, None, None, None, None, Some("1")];

/// Without a BPF scheduler the class is served like every other.
const SCHEDULER: &[&[Gate]] = &[&[Gate::if_there("/sys/kernel/sched_ext/state")]];

pub(super) const TABLE: Table = Table {
    backend: Backend::OpenCloudOs,
    neutral: &[("cpu.scx", Neutral::Inherited)],
    rows: &[
        Row {
            knob: Knob::Cpu,
            files: &["cpu.scx", "cpu.offline"],
            unless: &[],
            gates: SCHEDULER,
            work: Work::Levels(&[Column::both("cpu.offline", OFFLINE)]),
        },
        Row {
            knob: Knob::Cpu,
            files: &["cpu.scx"],
            unless: &["cpu.offline"],
            gates: SCHEDULER,
            work: Work::Levels(&[Column::both("cpu.scx", OFFLINE)]),
        },
    ],
};
