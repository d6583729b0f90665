//! Whatever a cgroup says, another reader of `/proc` understands the text: here the `procfs` crate.

use super::*;
use crate::proc_view::figures::*;
use procfs_core::prelude::*;
use procfs_core::{CpuInfo, DiskStats, KernelStats, LoadAverage as ReadLoad, Meminfo, Uptime, VmStat};
use proptest::prelude::*;

/// What `procfs` asks of a system to read `/proc/stat`.
fn system() -> procfs_core::ExplicitSystemInfo {
    procfs_core::ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: true,
    }
}

fn memory() -> impl Strategy<Value = Memory> {
    let level = any::<[u64; 6]>().prop_map(|[usage, max, high, reclaimable, swap_usage, swap_max]| {
        MemoryLevel { usage, max, high, reclaimable, swap_usage, swap_max }
    });
    (any::<[u64; 5]>(), prop::collection::vec(level, 0..4)).prop_map(|(host, levels)| {
        let [total, free, available, swap_total, swap_free] = host;
        Memory::of(&HostMemory { total, free, available, swap_total, swap_free }, &levels)
    })
}

/// Texts of cgroup files, mostly of the right form.
fn keyed_text() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "anon",
        "file",
        "shmem",
        "active_file",
        "slab_reclaimable",
        "pgfault",
        "vmalloc",
    ]);
    let line = prop_oneof![
        8 => (key, any::<u64>()).prop_map(|(key, value)| format!("{key} {value}\n")),
        1 => "[a-z_:= ]{0,12}\n",
    ];
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.concat())
}

fn share() -> impl Strategy<Value = CpuShare> {
    (1..200u32, any::<u64>(), 1..u64::MAX).prop_map(|(cpus, quota_usec, period_usec)| {
        CpuShare::new(cpus, [CpuQuota { quota_usec, period_usec }], Rounding::Up)
    })
}

fn clock(share: CpuShare, samples: Vec<[u64; 4]>) -> CpuClock {
    let mut clock = CpuClock::starting(0);
    for [now_usec, user_usec, nice_usec, system_usec] in samples {
        clock.advance(CpuSample { now_usec, user_usec, nice_usec, system_usec }, share);
    }
    clock
}

fn cpuinfo_of_host(cpus: u32) -> String {
    (0..cpus)
        .map(|cpu| format!("processor\t: {cpu}\nmodel name\t: X\ncore id\t\t: {cpu}\nflags\t\t: fpu\n\n"))
        .collect()
}

proptest! {
    #[test]
    fn meminfo_is_read(memory in memory(), stat in keyed_text(), bounds in any::<Option<(u64, u64)>>()) {
        let mut out = Vec::new();
        let huge_pages = bounds.map(|(max, used)| HugePages { max, used });
        super::meminfo(&mut out, super::meminfo::tests::HOST, &memory, &Keyed::parse(&stat), huge_pages);
        let read = Meminfo::from_read(&*out).unwrap();
        prop_assert_eq!(read.mem_total, memory.total / 1024 * 1024);
        prop_assert!(read.mem_free <= read.mem_total && read.mem_available.unwrap() <= read.mem_total);
        prop_assert!(read.swap_free <= read.swap_total);
    }

    #[test]
    fn vmstat_is_read(memory in memory(), stat in keyed_text(), io in "[0-9]{1,3}:[0-9]{1,3}( [rwd](bytes|ios)=[0-9]{1,20}){0,4}\n") {
        let mut out = Vec::new();
        super::vmstat(&mut out, "nr_free_pages 1\npgfault 2\npgpgin 3\nnr_anon_pages 4\n", &memory, &Keyed::parse(&stat),
            &BlockIo::parse(&io), 4096);
        let VmStat(read) = VmStat::from_read(&*out).unwrap();
        prop_assert_eq!(read.len(), 4);
    }

    #[test]
    fn stat_is_read(share in share(), samples in prop::collection::vec(any::<[u64; 4]>(), 1..5), booted_s in any::<u64>(), running in any::<u32>()) {
        let clock = clock(share, samples);
        let mut out = Vec::new();
        super::stat(&mut out, &Stat { clock: &clock, share, booted_s, running: running.into() });
        let read = KernelStats::from_read(&*out, &system()).unwrap();
        prop_assert_eq!(read.cpu_time.len(), usize::try_from(share.count).unwrap());
        prop_assert_eq!(read.btime, booted_s);
    }

    #[test]
    fn cpuinfo_has_as_many_cpus_as_stat_and_the_lists(share in share(), cpus in 1..200u32) {
        let count = share.count.min(cpus);
        let mut out = Vec::new();
        prop_assert!(super::cpuinfo(&mut out, &cpuinfo_of_host(cpus), &CpuList::first(cpus), count));
        let read = CpuInfo::from_read(&*out).unwrap();
        prop_assert_eq!(u32::try_from(read.num_cores()).unwrap(), count);
        let mut list = Vec::new();
        cpu_range(&mut list, count);
        prop_assert_eq!(CpuList::parse(std::str::from_utf8(&list).unwrap()), Some(CpuList::first(count)));
    }

    #[test]
    fn uptime_and_loadavg_are_read(uptime_usec in any::<u64>(), idle in any::<u64>(), used in any::<[u64; 4]>(), tasks in any::<[u64; 2]>()) {
        let mut out = Vec::new();
        super::uptime(&mut out, uptime_usec, idle);
        let read = Uptime::from_read(&*out).unwrap();
        prop_assert!(read.uptime >= 0.0 && read.idle >= 0.0);
        let mut load = LoadAverage::starting(0);
        load.advance(used[0], used[1], used[2]);
        out.clear();
        loadavg(&mut out, load.hundredths(), tasks[0], tasks[1]);
        let read = ReadLoad::from_read(&*out).unwrap();
        prop_assert!(read.one >= 0.0 && read.cur <= read.max);
    }

    #[test]
    fn diskstats_are_read(numbers in any::<[u64; 6]>()) {
        let [read_bytes, written_bytes, reads, writes, discarded_bytes, discards] = numbers;
        let device = BlockIo { major: 8, minor: 0, read_bytes, written_bytes, reads, writes, discarded_bytes, discards };
        let mut out = Vec::new();
        super::diskstats(&mut out, "   8       0 sda 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n", &[device]);
        let DiskStats(read) = DiskStats::from_read(&*out).unwrap();
        prop_assert_eq!(read.len(), 1);
    }

    #[test]
    fn swaps_have_a_line_for_what_there_is(memory in memory()) {
        let mut out = Vec::new();
        super::swaps(&mut out, &memory);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(text.lines().count(), 1 + usize::from(memory.swap_total >= 1024));
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let used: u64 = fields[3].parse().unwrap();
            prop_assert!(fields.len() == 5 && used <= memory.swap_total / 1024);
        }
    }

    #[test]
    fn no_host_text_is_too_strange(host in "\\PC{0,80}(\\n[a-zA-Z_ :0-9]{0,30}){0,8}", stat in keyed_text()) {
        let mut out = Vec::new();
        super::meminfo(&mut out, &host, &Memory::default(), &Keyed::parse(&stat), None);
        super::vmstat(&mut out, &host, &Memory::default(), &Keyed::parse(&stat), &BlockIo::parse(&stat), 0);
        super::diskstats(&mut out, &host, &BlockIo::parse(&host));
        // Whether it is understood does not matter here.
        let _known: bool = super::cpuinfo(&mut out, &host, &CpuList::first(2), 2);
    }
}
