//! `/proc/diskstats` (Linux `Documentation/admin-guide/iostats.rst`).

use super::text::Text;

/// Bytes of a sector, whatever the device's own is.
const SECTOR_BYTES: u64 = 512;

/// What a cgroup did with one block device: a line of `io.stat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `rbytes`
    pub read_bytes: u64,
    /// `wbytes`
    pub written_bytes: u64,
    /// `rios`
    pub reads: u64,
    /// `wios`
    pub writes: u64,
    /// `dbytes`
    pub discarded_bytes: u64,
    /// `dios`
    pub discards: u64,
}

impl BlockIo {
    /// Reads `io.stat`; what other policies print there is passed over.
    #[must_use]
    pub fn parse(io_stat: &str) -> Vec<Self> {
        io_stat.lines().filter_map(Self::parse_line).collect()
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let mut device = Self { major: major.parse().ok()?, minor: minor.parse().ok()?, ..Self::default() };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let field = match key {
                "rbytes" => &mut device.read_bytes,
                "wbytes" => &mut device.written_bytes,
                "rios" => &mut device.reads,
                "wios" => &mut device.writes,
                "dbytes" => &mut device.discarded_bytes,
                "dios" => &mut device.discards,
                _ => continue,
            };
            *field = value.parse().ok()?;
        }
        Some(device)
    }
}

/// Writes a line for each device that the container has used, under the name that `host` has for it. A cgroup knows
/// operations and bytes; merges, times and the queue are zero.
pub fn diskstats(out: &mut Vec<u8>, host: &str, devices: &[BlockIo]) {
    for line in host.lines() {
        let mut fields = line.split_ascii_whitespace();
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (Some(major), Some(minor)) = (number(), number()) else { continue };
        let Some(device) = devices.iter().find(|device| (device.major, device.minor) == (major, minor))
        else {
            continue;
        };
        let Some(name) = fields.next() else { continue };
        let read = [device.reads, 0, device.read_bytes / SECTOR_BYTES, 0];
        let written = [device.writes, 0, device.written_bytes / SECTOR_BYTES, 0];
        let discarded = [device.discards, 0, device.discarded_bytes / SECTOR_BYTES, 0];
        let values = read.into_iter().chain(written).chain([0, 0, 0]).chain(discarded).chain([0, 0]);
        let mut text = Text(out);
        text.padded(major, 4).word(" ").padded(minor, 7).word(" ").word(name);
        // Older kernels have fewer columns.
        for value in values.take(fields.count()) {
            text.word(" ").number(value);
        }
        text.word("\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "   8       0 sda 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n   8       1 sda1 9 9 9 9 9 9 9 9 9 9 9\n \
        259      10 nvme0n1 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n";

    fn rendered(io_stat: &str) -> String {
        let mut out = Vec::new();
        diskstats(&mut out, HOST, &BlockIo::parse(io_stat));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_devices_that_were_used_are_shown_with_operations_and_sectors() {
        let text = rendered(
            "259:10 rbytes=4096 wbytes=1024 rios=2 wios=1 dbytes=512 dios=3 cost.usage=9\n7:0 rbytes=1\n8:0\n",
        );
        assert_eq!(
            text,
            "   8       0 sda 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n 259      10 nvme0n1 2 0 8 0 1 0 2 0 0 0 0 3 0 1 0 0 0\n"
        );
    }

    #[test]
    fn a_kernel_with_fewer_columns_keeps_them() {
        assert_eq!(rendered("8:1 rbytes=512 rios=1\n"), "   8       1 sda1 1 0 1 0 0 0 0 0 0 0 0\n");
    }

    #[test]
    fn nothing_used_is_an_empty_file() {
        assert_eq!(rendered(""), "");
    }
}
