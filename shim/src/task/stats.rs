//! Turns the cgroup's numbers into the message that containerd's clients read (`io.containerd.cgroups.v2.Metrics`).
//!
//! Must not know where the numbers come from.

use ballast_cgroups::{
    HugetlbStatistics, IoStatistics, MemoryEvents, MemoryStatistics, Pressure, PressureLine, RdmaStatistics,
    Statistics,
};
use containerd_shim_protos::{
    cgroups_v2::metrics,
    protobuf::{self, Message, MessageField, well_known_types::any::Any},
};

/// As typeurl writes it: without a host in front.
const TYPE_URL: &str = "io.containerd.cgroups.v2.Metrics";

/// Encodes statistics. What the cgroup has no controller for is left out.
pub(super) fn encode(statistics: &Statistics) -> protobuf::Result<Any> {
    let value = metrics(statistics).write_to_bytes()?;
    Ok(Any { type_url: TYPE_URL.to_owned(), value, ..Any::default() })
}

fn metrics(statistics: &Statistics) -> metrics::Metrics {
    metrics::Metrics {
        pids: optional(statistics.pids.map(|pids| metrics::PidsStat {
            current: pids.current,
            limit: pids.limit,
            ..Default::default()
        })),
        cpu: MessageField::some(cpu(statistics)),
        memory: optional(
            statistics.memory.as_ref().map(|memory| memory_stat(memory, statistics.memory_pressure)),
        ),
        rdma: optional(rdma(statistics)),
        io: optional(io(statistics)),
        hugetlb: statistics.hugetlb.iter().map(hugetlb).collect(),
        memory_events: optional(statistics.memory_events.map(memory_events)),
        ..Default::default()
    }
}

fn optional<T>(message: Option<T>) -> MessageField<T> {
    message.map_or_else(MessageField::none, MessageField::some)
}

fn cpu(statistics: &Statistics) -> metrics::CPUStat {
    let cpu = &statistics.cpu;
    metrics::CPUStat {
        usage_usec: cpu.usage_usec,
        user_usec: cpu.user_usec,
        system_usec: cpu.system_usec,
        nr_periods: cpu.nr_periods,
        nr_throttled: cpu.nr_throttled,
        throttled_usec: cpu.throttled_usec,
        psi: optional(statistics.cpu_pressure.map(psi)),
        nr_bursts: cpu.nr_bursts,
        burst_usec: cpu.burst_usec,
        ..Default::default()
    }
}

fn memory_stat(memory: &MemoryStatistics, pressure: Option<Pressure>) -> metrics::MemoryStat {
    let stat = &memory.stat;
    metrics::MemoryStat {
        anon: stat.anon,
        file: stat.file,
        kernel_stack: stat.kernel_stack,
        slab: stat.slab,
        sock: stat.sock,
        shmem: stat.shmem,
        file_mapped: stat.file_mapped,
        file_dirty: stat.file_dirty,
        file_writeback: stat.file_writeback,
        anon_thp: stat.anon_thp,
        inactive_anon: stat.inactive_anon,
        active_anon: stat.active_anon,
        inactive_file: stat.inactive_file,
        active_file: stat.active_file,
        unevictable: stat.unevictable,
        slab_reclaimable: stat.slab_reclaimable,
        slab_unreclaimable: stat.slab_unreclaimable,
        pgfault: stat.pgfault,
        pgmajfault: stat.pgmajfault,
        workingset_refault: stat.workingset_refault,
        workingset_activate: stat.workingset_activate,
        workingset_nodereclaim: stat.workingset_nodereclaim,
        pgrefill: stat.pgrefill,
        pgscan: stat.pgscan,
        pgsteal: stat.pgsteal,
        pgactivate: stat.pgactivate,
        pgdeactivate: stat.pgdeactivate,
        pglazyfree: stat.pglazyfree,
        pglazyfreed: stat.pglazyfreed,
        thp_fault_alloc: stat.thp_fault_alloc,
        thp_collapse_alloc: stat.thp_collapse_alloc,
        usage: memory.usage,
        usage_limit: memory.usage_limit,
        swap_usage: memory.swap_usage,
        swap_limit: memory.swap_limit,
        max_usage: memory.usage_peak,
        swap_max_usage: memory.swap_peak,
        psi: optional(pressure.map(psi)),
        ..Default::default()
    }
}

fn memory_events(events: MemoryEvents) -> metrics::MemoryEvents {
    metrics::MemoryEvents {
        low: events.low,
        high: events.high,
        max: events.max,
        oom: events.oom,
        oom_kill: events.oom_kill,
        oom_group_kill: events.oom_group_kill,
        ..Default::default()
    }
}

fn io(statistics: &Statistics) -> Option<metrics::IOStat> {
    if statistics.io.is_empty() && statistics.io_pressure.is_none() {
        return None;
    }
    let entry = |device: &IoStatistics| metrics::IOEntry {
        major: device.major,
        minor: device.minor,
        rbytes: device.rbytes,
        wbytes: device.wbytes,
        rios: device.rios,
        wios: device.wios,
        ..Default::default()
    };
    Some(metrics::IOStat {
        usage: statistics.io.iter().map(entry).collect(),
        psi: optional(statistics.io_pressure.map(psi)),
        ..Default::default()
    })
}

fn rdma(statistics: &Statistics) -> Option<metrics::RdmaStat> {
    if statistics.rdma_current.is_empty() && statistics.rdma_max.is_empty() {
        return None;
    }
    let entry = |device: &RdmaStatistics| metrics::RdmaEntry {
        device: device.device.clone(),
        hca_handles: device.hca_handles,
        hca_objects: device.hca_objects,
        ..Default::default()
    };
    Some(metrics::RdmaStat {
        current: statistics.rdma_current.iter().map(entry).collect(),
        limit: statistics.rdma_max.iter().map(entry).collect(),
        ..Default::default()
    })
}

fn hugetlb(page_size: &HugetlbStatistics) -> metrics::HugeTlbStat {
    metrics::HugeTlbStat {
        current: page_size.current,
        max: page_size.max,
        pagesize: page_size.page_size.clone(),
        failcnt: page_size.failures,
        ..Default::default()
    }
}

fn psi(pressure: Pressure) -> metrics::PSIStats {
    metrics::PSIStats {
        some: MessageField::some(psi_line(pressure.some)),
        full: MessageField::some(psi_line(pressure.full)),
        ..Default::default()
    }
}

fn psi_line(line: PressureLine) -> metrics::PSIData {
    metrics::PSIData {
        avg10: line.avg10,
        avg60: line.avg60,
        avg300: line.avg300,
        total: line.total_usec,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use ballast_cgroups::{CpuStatistics, PidsStatistics};

    use super::*;

    #[test]
    fn what_the_kubelet_reads_survives_the_wire() {
        let line = PressureLine { avg10: 1.5, avg60: 0.0, avg300: 0.0, total_usec: 7 };
        let statistics = Statistics {
            pids: Some(PidsStatistics { current: 3, limit: u64::MAX }),
            cpu: CpuStatistics { usage_usec: 12, nr_bursts: 2, ..Default::default() },
            memory: Some(MemoryStatistics { usage: 4096, usage_limit: u64::MAX, ..Default::default() }),
            memory_events: Some(MemoryEvents { oom_kill: 1, ..Default::default() }),
            memory_pressure: Some(Pressure { some: line, full: PressureLine::default() }),
            io: vec![IoStatistics { major: 8, minor: 1, rbytes: 5, ..Default::default() }],
            ..Default::default()
        };
        let any = encode(&statistics).unwrap();
        assert_eq!(any.type_url, "io.containerd.cgroups.v2.Metrics");
        let decoded = metrics::Metrics::parse_from_bytes(&any.value).unwrap();
        assert_eq!((decoded.pids.current, decoded.pids.limit), (3, u64::MAX));
        assert_eq!((decoded.cpu.usage_usec, decoded.cpu.nr_bursts), (12, 2));
        assert_eq!((decoded.memory.usage, decoded.memory.usage_limit), (4096, u64::MAX));
        assert_eq!(decoded.memory.psi.some.total, 7);
        assert_eq!(decoded.memory_events.oom_kill, 1);
        assert_eq!((decoded.io.usage[0].major, decoded.io.usage[0].rbytes), (8, 5));
    }

    #[test]
    fn a_controller_that_is_missing_is_left_out() {
        let metrics = metrics(&Statistics::default());
        assert!(
            metrics.memory.is_none()
                && metrics.pids.is_none()
                && metrics.io.is_none()
                && metrics.rdma.is_none()
        );
        assert!(metrics.cpu.is_some());
    }
}
