//! Anolis and Alibaba Cloud Linux: group identity for CPU, priorities and watermarks for memory. Greater numbers come first here.
//! Tested against a model, not yet on the kernel.

use super::{Ask, At, Column, Row, Setting, Table, Work, page_cache_bytes};
use crate::priority::knob::{Backend, Knob};
use crate::priority::level::Level;
use crate::priority::probe::Gate;
use crate::priority::report::Reason;
use crate::priority::slot::Neutral;

/// -1 to 2. 2 keeps others off the core's other threads, too, so it takes a request for that.
const IDENTITY: [Option<&str>; 8] = [Some("1"), None, None, None, None, None, None, Some("-1")];
/// 12, the most important, to 0, evenly; among siblings.
const OOM_PRIORITY: [Option<&str>; 8] =
    [Some("12"), Some("10"), Some("9"), Some("7"), Some("5"), Some("3"), Some("2"), Some("0")];
/// Whoever has the smallest number below the pod is killed first.
const PRIORITY_OOM: [Option<&str>; 8] = [Some("1"); 8];
/// Lowers the global minimum of free memory for the highest, raises it for the lowest; -25 to 50.
const WATERMARK: [Option<&str>; 8] =
    [Some("-25"), Some("0"), Some("0"), Some("0"), Some("0"), Some("0"), Some("0"), Some("50")];

/// Always on in kernels without the switch.
const GROUP_IDENTITY: &[&[Gate]] = &[&[Gate::if_there("kernel.sched_group_identity_enabled")]];

pub(super) const TABLE: Table = Table {
    backend: Backend::Anolis,
    neutral: &[("cpu.bvt_warp_ns", Neutral::Inherited), ("memory.wmark_min_adj", Neutral::Inherited)],
    rows: &[
        Row {
            knob: Knob::Cpu,
            files: &["cpu.bvt_warp_ns"],
            unless: &[],
            gates: GROUP_IDENTITY,
            work: Work::Levels(&[Column::both("cpu.bvt_warp_ns", IDENTITY)]),
        },
        Row {
            knob: Knob::Memory,
            files: &["memory.priority"],
            unless: &[],
            gates: &[],
            work: Work::Levels(&[
                Column::both("memory.priority", OOM_PRIORITY),
                Column { file: "memory.use_priority_oom", at: At::PodIfThere, values: PRIORITY_OOM },
                Column { file: "memory.wmark_min_adj", at: At::BothIfThere, values: WATERMARK },
            ]),
        },
        Row {
            knob: Knob::CpuSmtIsolation,
            files: &["cpu.bvt_warp_ns"],
            unless: &[],
            gates: GROUP_IDENTITY,
            work: Work::Values(smt_isolation),
        },
        Row {
            knob: Knob::MemoryAsyncReclaim,
            files: &["memory.wmark_ratio"],
            unless: &[],
            gates: &[],
            work: Work::Values(async_reclaim),
        },
        Row {
            knob: Knob::PageCacheLimit,
            files: &["memory.pagecache_limit.size", "memory.pagecache_limit.enable"],
            unless: &[],
            gates: &[&[Gate::if_there("/sys/kernel/mm/pagecache_limit/enabled")]],
            work: Work::Values(page_cache),
        },
    ],
};

/// It is the highest identity at once, so it is only for who asks for the highest level.
fn smt_isolation(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    match ask.request.level {
        Some(Level::ONLINE) => Ok(vec![Setting::new("cpu.bvt_warp_ns", 2)]),
        _ => Err(Reason::NotExpressible),
    }
}

/// Per cent of the smaller one of `memory.high` and `memory.max`.
fn async_reclaim(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let start = ask.request.memory_async_reclaim.ok_or(Reason::NotExpressible)?;
    Ok(vec![Setting::new("memory.wmark_ratio", start.hundredths())])
}

/// The size before the switch.
fn page_cache(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    Ok(vec![
        Setting::new("memory.pagecache_limit.size", page_cache_bytes(ask)?),
        Setting::new("memory.pagecache_limit.enable", 1),
    ])
}
