//! TencentOS: RUE, where one number per cgroup drives CPU, memory and network; else BT, where a group is offline or not.
//! Tested against a model, not yet on the kernel.
//!
//! RUE's switches refuse or are absent without its module, and OpenCloudOS 6.6 has stubs of BT's. Both mean that nothing
//! acts on the files, so the next backend is asked.

use super::{Ask, At, Column, Row, Setting, Table, Work};
use crate::priority::knob::{Backend, Knob};
use crate::priority::probe::Gate;
use crate::priority::report::Reason;
use crate::priority::request::PageCacheLimit;
use crate::priority::slot::Neutral;

/// RUE counts as we do: 0 is the highest, 7 the lowest, 8 is refused.
const PRIORITY: [Option<&str>; 8] =
    [Some("0"), Some("1"), Some("2"), Some("3"), Some("4"), Some("5"), Some("6"), Some("7")];
/// Lowers the global minimum of free memory for the highest, raises it for the lowest; -75 to 75.
const WATERMARK: [Option<&str>; 8] =
    [Some("-25"), Some("0"), Some("0"), Some("0"), Some("0"), Some("0"), Some("0"), Some("50")];
/// Whoever has the greatest number below the pod is killed first.
const PRIORITY_OOM: [Option<&str>; 8] = [Some("1"); 8];
/// BT: off or on, so what is between is told apart by weight.
const OFFLINE: [Option<&str>; 8] = [Some("0"), None, None, None, None, None, None, Some("1")];

const CPU_QOS: &[&[Gate]] = &[&[Gate::required("kernel.cpu_qos")]];
const MEMORY_QOS: &[&[Gate]] = &[&[Gate::required("vm.memory_qos")]];
const NET_QOS: &[&[Gate]] = &[&[Gate::required("net.core.net_qos")]];

pub(super) const TABLE: Table = Table {
    backend: Backend::TencentOs,
    neutral: &[
        ("cgroup.priority", Neutral::Inherited),
        ("cpu.offline", Neutral::Inherited),
        ("memory.async_ratio", Neutral::Inherited),
        ("memory.priority_wmark_ratio", Neutral::Inherited),
        // It is read in another form than it is written in.
        ("net_cls.limit", Neutral::Value("tx_bps=0 rx_bps=0")),
    ],
    rows: &[
        Row {
            knob: Knob::Cpu,
            files: &["cgroup.priority"],
            unless: &[],
            gates: CPU_QOS,
            work: Work::Levels(&[Column::both("cgroup.priority", PRIORITY)]),
        },
        Row {
            knob: Knob::Cpu,
            files: &["cpu.offline"],
            // OpenCloudOS has both names for something else.
            unless: &["cpu.scx"],
            gates: &[&[Gate::if_there("kernel.cpu_qos")]],
            work: Work::Levels(&[Column::both("cpu.offline", OFFLINE)]),
        },
        Row {
            knob: Knob::Memory,
            files: &["cgroup.priority", "memory.use_priority_oom"],
            unless: &[],
            gates: MEMORY_QOS,
            work: Work::Levels(&[
                Column::both("cgroup.priority", PRIORITY),
                Column { file: "memory.use_priority_oom", at: At::PodIfThere, values: PRIORITY_OOM },
                Column { file: "memory.priority_wmark_ratio", at: At::BothIfThere, values: WATERMARK },
            ]),
        },
        Row {
            knob: Knob::NetPriority,
            files: &["cgroup.priority", "net_cls.limit"],
            unless: &[],
            gates: NET_QOS,
            work: Work::Values(net_priority),
        },
        Row {
            knob: Knob::CpuSmtIsolation,
            files: &["cpu.ht_sensi_type"],
            unless: &[],
            gates: &[&[Gate::required("kernel.cpu_qos")], &[Gate::required("kernel.cpu_qos_ht_isolate")]],
            work: Work::Values(|_| Ok(vec![Setting::new("cpu.ht_sensi_type", 1)])),
        },
        Row {
            knob: Knob::MemoryAsyncReclaim,
            files: &["memory.async_ratio"],
            unless: &[],
            gates: &[&[Gate::required("vm.memory_qos"), Gate::required("vm.memcg_async")]],
            work: Work::Values(async_reclaim),
        },
        Row {
            knob: Knob::PageCacheLimit,
            files: &["memory.pagecache.max_ratio"],
            unless: &[],
            gates: MEMORY_QOS,
            work: Work::Values(page_cache),
        },
        Row {
            knob: Knob::NetLimits,
            files: &["net_cls.limit"],
            unless: &[],
            gates: NET_QOS,
            work: Work::Values(net_limits),
        },
    ],
};

/// In cgroup v2 there is one `cgroup.priority` for everything.
fn net_priority(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    match (ask.request.net_priority, ask.request.level) {
        (Some(packets), Some(level)) if packets == level => Ok(vec![Setting::new("cgroup.priority", level)]),
        _ => Err(Reason::NotSeparate { file: "cgroup.priority".into() }),
    }
}

/// A share of the memory limit, too.
fn async_reclaim(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let start = ask.request.memory_async_reclaim.ok_or(Reason::NotExpressible)?;
    Ok(vec![Setting::new("memory.async_ratio", start.hundredths())])
}

/// 5 to 100 percent of the memory limit.
fn page_cache(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    let share = match ask.request.page_cache_limit.ok_or(Reason::NotExpressible)? {
        PageCacheLimit::Share(share) => u64::from(share.hundredths()),
        PageCacheLimit::Bytes(bytes) => {
            let limit = ask.memory_limit().ok_or(Reason::NoMemoryLimit)?;
            (u128::from(bytes) * 100 / u128::from(limit.max(1))).min(100).try_into().unwrap_or(100)
        }
    };
    if share < 5 {
        Err(Reason::NotExpressible)
    } else {
        Ok(vec![Setting::new("memory.pagecache.max_ratio", share)])
    }
}

/// In whole Mbit/s, where 0 is no bound.
fn net_limits(ask: &Ask<'_>) -> Result<Vec<Setting>, Reason> {
    const MEGABIT: u64 = 1_000_000;
    let limits = ask.request.net_limits.ok_or(Reason::NotExpressible)?;
    let megabits = |bits: Option<u64>| match bits.unwrap_or(0) {
        0 => Ok(0),
        bits if bits < MEGABIT => Err(Reason::NotExpressible),
        bits => Ok(bits / MEGABIT),
    };
    let (send, receive) = (megabits(limits.transmit_bits)?, megabits(limits.receive_bits)?);
    Ok(vec![Setting::new("net_cls.limit", format!("tx_bps={send} rx_bps={receive}"))])
}
