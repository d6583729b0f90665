//! `/proc/meminfo` (Linux `fs/proc/meminfo.c`).

use super::text::Text;
use crate::proc_view::figures::{Keyed, Memory};

/// Readers multiply by 1024.
const KIB_MAX: u64 = u64::MAX / 1024;

/// Pages of the size that `/proc/meminfo` tells of, as the hugetlb controller bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HugePages {
    /// The least bound from the container to the root, in pages.
    pub max: u64,
    /// The container's use, in pages.
    pub used: u64,
}

/// Writes the container's view: `host` is the host's text, `stat` the cgroup's `memory.stat`. Without `huge_pages` there is
/// no hugetlb controller, and the host's pages are the container's to take.
pub fn meminfo(
    out: &mut Vec<u8>,
    host: &str,
    memory: &Memory,
    stat: &Keyed<'_>,
    huge_pages: Option<HugePages>,
) {
    let template = Keyed::parse(host);
    let figures = Figures { memory, stat, host: &template, huge_pages };
    for line in host.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let (column, width) = layout(key);
        let mut text = Text(out);
        text.word(key).word(":").spaces(column.saturating_sub(key.len() + 1));
        text.padded(figures.value(key), width);
        text.word(if rest.ends_with(" kB") { " kB\n" } else { "\n" });
    }
}

/// Where the number's field begins and how wide it is.
fn layout(key: &str) -> (usize, usize) {
    if key.starts_with("HugePages_") || key == "HardwareCorrupted" { (19, 5) } else { (16, 8) }
}

struct Figures<'a> {
    memory: &'a Memory,
    stat: &'a Keyed<'a>,
    host: &'a Keyed<'a>,
    huge_pages: Option<HugePages>,
}

impl Figures<'_> {
    /// The number of a line: KiB, or pages for those that count pages.
    fn value(&self, key: &str) -> u64 {
        let of = |keys: &[&str]| self.stat.sum(keys) / 1024;
        let memory = self.memory;
        match key {
            "MemTotal" => memory.total / 1024,
            "MemFree" => memory.free / 1024,
            "MemAvailable" => memory.available / 1024,
            "SwapTotal" => memory.swap_total / 1024,
            "SwapFree" => memory.swap_free / 1024,
            "Cached" => self.stat.get("file").saturating_sub(self.stat.get("swapcached")) / 1024,
            "SwapCached" => of(&["swapcached"]),
            "Active" => of(&["active_anon", "active_file"]),
            "Inactive" => of(&["inactive_anon", "inactive_file"]),
            "Active(anon)" => of(&["active_anon"]),
            "Inactive(anon)" => of(&["inactive_anon"]),
            "Active(file)" => of(&["active_file"]),
            "Inactive(file)" => of(&["inactive_file"]),
            "Unevictable" => of(&["unevictable"]),
            "Zswap" => of(&["zswap"]),
            "Zswapped" => of(&["zswapped"]),
            "Dirty" => of(&["file_dirty"]),
            "Writeback" => of(&["file_writeback"]),
            "AnonPages" => of(&["anon"]),
            "Mapped" => of(&["file_mapped"]),
            "Shmem" => of(&["shmem"]),
            "KReclaimable" | "SReclaimable" => of(&["slab_reclaimable"]),
            "Slab" => of(&["slab_reclaimable", "slab_unreclaimable"]),
            "SUnreclaim" => of(&["slab_unreclaimable"]),
            "KernelStack" => of(&["kernel_stack"]),
            "PageTables" => of(&["pagetables"]),
            "SecPageTables" => of(&["sec_pagetables"]),
            "VmallocUsed" => of(&["vmalloc"]),
            "Percpu" => of(&["percpu"]),
            "AnonHugePages" => of(&["anon_thp"]),
            "ShmemHugePages" => of(&["shmem_thp"]),
            "FileHugePages" => of(&["file_thp"]),
            "CommitLimit" => self.commit_limit(),
            "HugePages_Total" => self.huge_pages_total(),
            "HugePages_Free" => self.huge_pages_free(),
            "Hugetlb" => self.huge_pages_total().saturating_mul(self.host.get("Hugepagesize")),
            // The same on every machine of its kind.
            "Hugepagesize" | "VmallocTotal" => self.host.get(key),
            _ => 0,
        }
    }

    /// The host's rule (`vm.overcommit_ratio`) applied to the container's memory.
    fn commit_limit(&self) -> u64 {
        let host = |key| u128::from(self.host.get(key));
        let ratio_of = host("MemTotal").max(1);
        let without_swap = host("CommitLimit").saturating_sub(host("SwapTotal"));
        let own = u128::from(self.memory.total / 1024) * without_swap / ratio_of;
        let own = u64::try_from(own).unwrap_or(KIB_MAX);
        own.saturating_add(self.memory.swap_total / 1024).min(KIB_MAX)
    }

    fn huge_pages_total(&self) -> u64 {
        let host = self.host.get("HugePages_Total");
        self.huge_pages.map_or(host, |pages| pages.max.min(host))
    }

    fn huge_pages_free(&self) -> u64 {
        let host = self.host.get("HugePages_Free");
        self.huge_pages.map_or(host, |pages| self.huge_pages_total().saturating_sub(pages.used).min(host))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of a machine with 128 GiB, whose numbers are nine digits wide.
    pub(in super::super) const HOST: &str = include_str!("testdata/meminfo");

    const GIB: u64 = 1 << 30;
    const MEMORY: Memory =
        Memory { total: GIB, free: GIB / 2, available: 3 * GIB / 4, swap_total: GIB / 4, swap_free: GIB / 8 };
    const STAT: &str = "anon 104857600\nfile 52428800\nkernel_stack 65536\npagetables 131072\npercpu 2048\n\
        vmalloc 4096\nfile_mapped 10485760\nfile_dirty 8192\nfile_writeback 4096\nswapcached 1048576\nanon_thp 2097152\n\
        shmem 1024\ninactive_anon 1000\nactive_anon 4096\ninactive_file 8192\nactive_file 4096\nslab_reclaimable 3072\n\
        slab_unreclaimable 1024\n";

    fn rendered(memory: &Memory, huge_pages: Option<HugePages>) -> String {
        let mut out = Vec::new();
        meminfo(&mut out, HOST, memory, &Keyed::parse(STAT), huge_pages);
        String::from_utf8(out).unwrap()
    }

    fn number(text: &str, key: &str) -> u64 {
        Keyed::parse(text).find(key).unwrap_or_else(|| panic!("{key} in {text}"))
    }

    #[test]
    fn lines_are_the_hosts_in_order_and_layout() {
        let host_bytes = |kib: &str| number(HOST, kib) * 1024;
        let all = Memory {
            total: host_bytes("MemTotal"),
            free: host_bytes("MemFree"),
            available: host_bytes("MemAvailable"),
            swap_total: host_bytes("SwapTotal"),
            swap_free: host_bytes("SwapFree"),
        };
        let text = rendered(&all, None);
        for (own, host) in text.lines().zip(HOST.lines()) {
            let (own_key, host_key) = (own.split(':').next(), host.split(':').next());
            assert_eq!(own_key, host_key);
            if number(&text, host_key.unwrap()) == number(HOST, host_key.unwrap()) {
                assert_eq!(own, host, "column for column");
            }
        }
        assert_eq!(text.lines().count(), HOST.lines().count());
    }

    #[test]
    fn values_are_the_cgroups() {
        let text = rendered(&MEMORY, None);
        for (key, kib) in [
            ("MemTotal", 1 << 20),
            ("MemFree", 1 << 19),
            ("Buffers", 0),
            ("Cached", 51_200 - 1024),
            ("SwapCached", 1024),
            ("Active", 8),
            ("AnonPages", 102_400),
            ("Mapped", 10_240),
            ("Dirty", 8),
            ("Writeback", 4),
            ("AnonHugePages", 2048),
            ("Slab", 4),
            ("KernelStack", 64),
            ("PageTables", 128),
            ("Percpu", 2),
            ("VmallocUsed", 4),
            ("Committed_AS", 0),
            ("DirectMap4k", 0),
        ] {
            assert_eq!(number(&text, key), kib, "{key}");
        }
    }

    #[test]
    fn the_hosts_sizes_do_not_leak() {
        let text = rendered(&MEMORY, None);
        for key in ["Committed_AS", "DirectMap4k", "DirectMap2M", "DirectMap1G", "Buffers", "Mlocked"] {
            assert!(number(HOST, key) > 0, "{key} of the host tells something");
            assert_eq!(number(&text, key), 0, "{key}");
        }
        assert!(number(&text, "CommitLimit") <= (GIB + GIB / 4) / 1024);
    }

    #[test]
    fn huge_pages_are_those_that_the_container_may_take() {
        let bounded = rendered(&MEMORY, Some(HugePages { max: 4, used: 1 }));
        assert!(bounded.contains("HugePages_Total:       4\n"), "{bounded}");
        assert!(bounded.contains("HugePages_Free:        3\n"), "{bounded}");
        assert_eq!(number(&bounded, "Hugetlb"), 4 * 2048);
        assert_eq!(number(&bounded, "Hugepagesize"), 2048);
        let over = rendered(&MEMORY, Some(HugePages { max: u64::MAX, used: u64::MAX }));
        assert_eq!(number(&over, "HugePages_Total"), number(HOST, "HugePages_Total"));
        assert_eq!(number(&over, "HugePages_Free"), 0);
    }
}
