//! `/proc/vmstat` (Linux `mm/vmstat.c`).

use super::BlockIo;
use super::text::Text;
use crate::proc_view::figures::{Keyed, Memory};

/// Some programs read signed numbers.
const READERS_MAX: u64 = i64::MAX.unsigned_abs();

/// Writes the container's view: the keys of `host`, the numbers of `memory.stat` and `io.stat`. Sizes are in pages of
/// `page_bytes`.
pub fn vmstat(
    out: &mut Vec<u8>,
    host: &str,
    memory: &Memory,
    stat: &Keyed<'_>,
    io: &[BlockIo],
    page_bytes: u64,
) {
    let total = |bytes: fn(&BlockIo) -> u64| io.iter().map(bytes).fold(0, u64::saturating_add) / 1024;
    for line in host.lines() {
        let Some((key, _)) = line.split_once(' ') else { continue };
        let value = match key {
            "nr_free_pages" => memory.free / page_bytes.max(1),
            "nr_kernel_stack" => stat.get("kernel_stack") / 1024,
            "pgpgin" => total(|device| device.read_bytes),
            "pgpgout" => total(|device| device.written_bytes),
            _ => match size_key(key) {
                Some(size) => stat.get(size) / page_bytes.max(1),
                // Events have the same name there.
                None => stat.get(key),
            },
        };
        Text(out).word(key).word(" ").number(value.min(READERS_MAX)).word("\n");
    }
}

/// The key of `memory.stat` that has this size in bytes.
fn size_key(key: &str) -> Option<&'static str> {
    Some(match key {
        "nr_inactive_anon" | "nr_zone_inactive_anon" => "inactive_anon",
        "nr_active_anon" | "nr_zone_active_anon" => "active_anon",
        "nr_inactive_file" | "nr_zone_inactive_file" => "inactive_file",
        "nr_active_file" | "nr_zone_active_file" => "active_file",
        "nr_unevictable" | "nr_zone_unevictable" => "unevictable",
        "nr_slab_reclaimable" => "slab_reclaimable",
        "nr_slab_unreclaimable" => "slab_unreclaimable",
        "nr_anon_pages" => "anon",
        "nr_mapped" => "file_mapped",
        "nr_file_pages" => "file",
        "nr_dirty" => "file_dirty",
        "nr_writeback" => "file_writeback",
        "nr_shmem" => "shmem",
        "nr_swapcached" => "swapcached",
        "nr_page_table_pages" => "pagetables",
        "nr_sec_page_table_pages" => "sec_pagetables",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pages_and_events_are_counts() {
        let host = "nr_free_pages 9\nnr_anon_pages 8\nnr_kernel_stack 7\npgfault 6\nnumastat 5\npgpgin 4\npgpgout 3\n";
        let stat = Keyed::parse("anon 8192\nkernel_stack 2048\npgfault 77\n");
        let memory = Memory { free: 40_960, ..Memory::default() };
        let device = BlockIo { read_bytes: 10_240, written_bytes: 2048, ..BlockIo::default() };
        let mut out = Vec::new();
        vmstat(&mut out, host, &memory, &stat, &[device], 4096);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "nr_free_pages 10\nnr_anon_pages 2\nnr_kernel_stack 2\npgfault 77\nnumastat 0\npgpgin 10\npgpgout 2\n"
        );
    }
}
