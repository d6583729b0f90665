//! Every renderer of a view: whatever the figures and the host's text are, another reader of `/proc` understands what is written, and
//! nothing in it is greater than what it is a part of.

use arbitrary::Arbitrary;
use ballast_runtime::proc_view::figures::{CpuList, Keyed, LoadAverage};
use ballast_runtime::proc_view::render::{self, BlockIo, CPU_TOPOLOGY, HugePages};
use procfs_core::prelude::*;

use crate::Target;
use crate::figures::{Levels, Life, Share};

/// Of a real machine.
const HOST_MEMINFO: &str = include_str!("../../runtime/src/proc_view/render/testdata/meminfo");
const HOST_VMSTAT: &str =
    "nr_free_pages 1\nnr_anon_pages 2\nnr_kernel_stack 3\npgpgin 4\npgpgout 5\npgfault 6\n";

/// The host's text: a real one, or anything.
#[derive(Arbitrary, Debug)]
enum Host {
    Real,
    Any(String),
}

impl Host {
    fn text<'a>(&'a self, real: &'a str) -> &'a str {
        match self {
            Self::Real => real,
            Self::Any(text) => text,
        }
    }
}

/// A flat keyed file: of the kernel's keys, or anything.
#[derive(Arbitrary, Debug)]
enum KeyedText {
    Known(Vec<(u8, u64)>),
    Any(String),
}

const KEYS: [&str; 12] = [
    "anon",
    "file",
    "shmem",
    "swapcached",
    "active_file",
    "inactive_file",
    "slab_reclaimable",
    "slab_unreclaimable",
    "kernel_stack",
    "vmalloc",
    "pgfault",
    "file_mapped",
];

impl KeyedText {
    fn text(&self) -> String {
        match self {
            Self::Known(pairs) => pairs
                .iter()
                .map(|(key, value)| format!("{} {value}\n", KEYS[usize::from(*key) % KEYS.len()]))
                .collect(),
            Self::Any(text) => text.clone(),
        }
    }
}

/// As it was written, which is text.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    // What is written is added to what is there.
    let mut out = b"before".to_vec();
    write(&mut out);
    let text = String::from_utf8(out).expect("the kernel's files are ASCII, or the host's bytes");
    text.strip_prefix("before").expect("what was there is kept").to_owned()
}

/// `/proc/meminfo`
#[derive(Arbitrary, Debug)]
pub struct Meminfo {
    host: Host,
    levels: Levels,
    stat: KeyedText,
    huge_pages: Option<(u64, u64)>,
}

impl Target for Meminfo {
    fn check(self) {
        let (memory, stat) = (self.levels.memory(), self.stat.text());
        let huge_pages = self.huge_pages.map(|(max, used)| HugePages { max, used });
        let host = self.host.text(HOST_MEMINFO);
        let text = written(|out| render::meminfo(out, host, &memory, &Keyed::parse(&stat), huge_pages));
        if matches!(self.host, Host::Real) {
            let read = procfs_core::Meminfo::from_read(text.as_bytes()).expect(&text);
            assert_eq!(read.mem_total, memory.total / 1024 * 1024);
            assert!(read.mem_free <= read.mem_total && read.mem_available <= Some(read.mem_total));
            assert!(read.swap_free <= read.swap_total);
            assert!(read.hugepages_free <= read.hugepages_total);
            assert_eq!(text.lines().count(), HOST_MEMINFO.lines().count());
        }
    }
}

/// `/proc/vmstat`
#[derive(Arbitrary, Debug)]
pub struct Vmstat {
    host: Host,
    levels: Levels,
    stat: KeyedText,
    io_stat: String,
    page_bytes: u64,
}

impl Target for Vmstat {
    fn check(self) {
        let (memory, stat, io) = (self.levels.memory(), self.stat.text(), BlockIo::parse(&self.io_stat));
        let host = self.host.text(HOST_VMSTAT);
        let text =
            written(|out| render::vmstat(out, host, &memory, &Keyed::parse(&stat), &io, self.page_bytes));
        if matches!(self.host, Host::Real) {
            let read = procfs_core::VmStat::from_read(text.as_bytes()).expect(&text);
            assert_eq!(read.0.len(), HOST_VMSTAT.lines().count());
        }
    }
}

/// `/proc/stat`
#[derive(Arbitrary, Debug)]
pub struct Stat {
    life: Life,
    booted_s: u64,
    running: u64,
}

impl Target for Stat {
    fn check(self) {
        let (clock, share) = self.life.clock();
        let stat = render::Stat { clock: &clock, share, booted_s: self.booted_s, running: self.running };
        let text = written(|out| render::stat(out, &stat));
        let system = procfs_core::ExplicitSystemInfo {
            boot_time_secs: 0,
            ticks_per_second: 100,
            page_size: 4096,
            is_little_endian: true,
        };
        // Its counts of tasks have 32 bits.
        if u32::try_from(self.running).is_ok() {
            let read = procfs_core::KernelStats::from_read(text.as_bytes(), &system).expect(&text);
            assert_eq!((read.btime, read.cpu_time.len()), (self.booted_s, clock.cpus(share).len()));
            assert!(
                read.cpu_time.iter().all(|cpu| cpu.user <= read.total.user && cpu.idle <= read.total.idle)
            );
        }
    }
}

/// `/proc/cpuinfo`
#[derive(Arbitrary, Debug)]
pub struct Cpuinfo {
    host: Option<String>,
    host_cpus: u8,
    allowed: Vec<u8>,
    count: u32,
}

impl Target for Cpuinfo {
    fn check(self) {
        let real: String = (0..self.host_cpus)
            .map(|cpu| format!("processor\t: {cpu}\nmodel name\t: X\ncore id\t\t: {cpu}\nflags\t\t: fpu\n\n"))
            .collect();
        let list: Vec<String> = self.allowed.iter().map(u8::to_string).collect();
        let allowed = CpuList::parse(&list.join(",")).unwrap_or_default();
        let host = self.host.as_deref().unwrap_or(&real);
        let mut known = false;
        let text = written(|out| known = render::cpuinfo(out, host, &allowed, self.count));
        if self.host.is_none() {
            assert_eq!(known, self.host_cpus > 0);
            let expected = allowed.common(&CpuList::first(self.host_cpus.into())).min(self.count);
            let numbers: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix("processor\t: ")).collect();
            let sequence: Vec<String> = (0..expected).map(|number| number.to_string()).collect();
            assert_eq!(numbers, sequence);
        }
        assert!(known || text.is_empty());
    }
}

/// The lists below `/sys/devices/system/cpu`, and the files of each CPU's directory.
#[derive(Arbitrary, Debug)]
pub struct CpuLists {
    share: Share,
}

impl Target for CpuLists {
    fn check(self) {
        let count = self.share.share().count;
        let list = written(|out| render::cpu_range(out, count));
        assert_eq!(CpuList::parse(&list), Some(CpuList::first(count)));
        assert_eq!(written(render::no_cpus), "\n");
        for cpu in 0..count {
            for (_, file) in CPU_TOPOLOGY {
                let text = written(|out| file.write(out, cpu, count));
                assert!(text.ends_with('\n') && text.len() > 1, "{text:?}");
            }
        }
    }
}

/// `/proc/uptime`
#[derive(Arbitrary, Debug)]
pub struct Uptime {
    uptime_usec: u64,
    idle_usec: u64,
}

impl Target for Uptime {
    fn check(self) {
        let text = written(|out| render::uptime(out, self.uptime_usec, self.idle_usec));
        let read = procfs_core::Uptime::from_read(text.as_bytes()).expect(&text);
        assert!(read.uptime >= 0.0 && read.idle >= 0.0);
    }
}

/// `/proc/loadavg`
#[derive(Arbitrary, Debug)]
pub struct Loadavg {
    moments: Vec<[u64; 3]>,
    running: u64,
    tasks: u64,
}

impl Target for Loadavg {
    fn check(self) {
        let mut load = LoadAverage::starting(0);
        for [now, used, waited] in &self.moments {
            load.advance(*now, *used, *waited);
        }
        let text = written(|out| render::loadavg(out, load.hundredths(), self.running, self.tasks));
        let read = procfs_core::LoadAverage::from_read(text.as_bytes()).expect(&text);
        assert!(read.one >= 0.0 && read.five >= 0.0 && read.fifteen >= 0.0);
        assert!((1..=read.max).contains(&read.cur));
    }
}

/// `/proc/diskstats`
#[derive(Arbitrary, Debug)]
pub struct Diskstats {
    host: Option<String>,
    numbers: Vec<(u8, [u64; 6])>,
    io_stat: String,
}

impl Target for Diskstats {
    fn check(self) {
        let real: String = (0..8)
            .map(|minor| format!("   8       {minor} sd{minor} 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n"))
            .collect();
        let host = self.host.as_deref().unwrap_or(&real);
        let known = self.numbers.iter().map(|&(minor, numbers)| {
            let [read_bytes, written_bytes, reads, writes, discarded_bytes, discards] = numbers;
            BlockIo {
                major: 8,
                minor: minor.into(),
                read_bytes,
                written_bytes,
                reads,
                writes,
                discarded_bytes,
                discards,
            }
        });
        let devices: Vec<BlockIo> = known.chain(BlockIo::parse(&self.io_stat)).collect();
        let text = written(|out| render::diskstats(out, host, &devices));
        if self.host.is_none() {
            let read = procfs_core::DiskStats::from_read(text.as_bytes()).expect(&text);
            assert_eq!(read.0.len(), text.lines().count());
        }
    }
}

/// `/proc/swaps`
#[derive(Arbitrary, Debug)]
pub struct Swaps {
    levels: Levels,
}

impl Target for Swaps {
    fn check(self) {
        let memory = self.levels.memory();
        let text = written(|out| render::swaps(out, &memory));
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (total, used): (u64, u64) = (fields[2].parse().expect(line), fields[3].parse().expect(line));
            assert!(fields.len() == 5 && total == memory.swap_total / 1024 && used <= total, "{line}");
        }
        assert_eq!(text.lines().count(), 1 + usize::from(memory.swap_total >= 1024));
    }
}

/// `/proc/slabinfo`, which says the same of everything.
#[derive(Arbitrary, Debug)]
pub struct Slabinfo;

impl Target for Slabinfo {
    fn check(self) {
        assert!(written(render::slabinfo).starts_with("slabinfo - version: 2.1\n"));
    }
}
