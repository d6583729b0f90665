//! The numbers that `sysinfo(2)` gives, read off the texts of the view. Pure; must not know layouts.

use crate::proc_view::figures::Keyed;

/// What `struct sysinfo` tells, before it has a width.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemInfo {
    /// Seconds since the boot, a begun one counted as the kernel does.
    pub uptime_s: u64,
    /// Averages over 1, 5 and 15 minutes, in 65536ths (`SI_LOAD_SHIFT`).
    pub loads: [u64; 3],
    /// Bytes of memory.
    pub total: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// Bytes of shared memory and tmpfs.
    pub shared: u64,
    /// Bytes of block devices' caches.
    pub buffers: u64,
    /// Bytes of swap.
    pub swap_total: u64,
    /// Bytes of swap that nobody uses.
    pub swap_free: u64,
    /// Processes and threads; the kernel has no room for more.
    pub tasks: u16,
}

/// `SI_LOAD_SHIFT` of `linux/sysinfo.h`.
const LOAD_ONE: u64 = 1 << 16;

impl SystemInfo {
    /// Reads `/proc/meminfo`, `/proc/loadavg` and `/proc/uptime`; `None` when one of them is not of its form.
    #[must_use]
    pub fn parse(meminfo: &str, loadavg: &str, uptime: &str) -> Option<Self> {
        let memory = Keyed::parse(meminfo);
        let bytes = |key| memory.get(key).saturating_mul(1024);
        let mut words = loadavg.split_ascii_whitespace();
        let mut load = || {
            // Up, so that what prints it with two digits, and cuts the rest, prints the text's.
            Some(hundredths(words.next()?)?.saturating_mul(LOAD_ONE).div_ceil(100))
        };
        let loads = [load()?, load()?, load()?];
        let (_running, tasks) = words.next()?.split_once('/')?;
        let tasks: u64 = tasks.parse().ok()?;
        let uptime = hundredths(uptime.split_ascii_whitespace().next()?)?;
        Some(Self {
            uptime_s: uptime.div_ceil(100),
            loads,
            total: memory.find("MemTotal")?.saturating_mul(1024),
            free: bytes("MemFree"),
            shared: bytes("Shmem"),
            buffers: bytes("Buffers"),
            swap_total: bytes("SwapTotal"),
            swap_free: bytes("SwapFree"),
            tasks: u16::try_from(tasks).unwrap_or(u16::MAX),
        })
    }
}

/// A number with two digits after its point.
fn hundredths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.')?;
    let fraction: u64 = if fraction.len() == 2 { fraction.parse().ok()? } else { return None };
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:         65536 kB\nMemFree:          60000 kB\nMemAvailable:     61000 kB\n\
        Buffers:               3 kB\nShmem:               100 kB\nSwapTotal:          2048 kB\nSwapFree:           1024 kB\n";

    #[test]
    fn the_texts_figures_are_read() {
        let info = SystemInfo::parse(MEMINFO, "0.07 1.50 20.00 1/17 17\n", "12.01 3.00\n");
        let expected = SystemInfo {
            uptime_s: 13,
            loads: [4588, 98_304, 1_310_720],
            total: 64 << 20,
            free: 60_000 << 10,
            shared: 100 << 10,
            buffers: 3 << 10,
            swap_total: 2 << 20,
            swap_free: 1 << 20,
            tasks: 17,
        };
        assert_eq!(info, Some(expected));
    }

    #[test]
    fn a_load_is_printed_as_the_text_has_it_by_those_who_cut() {
        for load in 0..1000 {
            let text = format!("{}.{:02} 0.00 0.00 1/1 1\n", load / 100, load % 100);
            let [value, ..] = SystemInfo::parse(MEMINFO, &text, "0.00 0.00\n").unwrap().loads;
            // busybox: LOAD_INT, LOAD_FRAC.
            let (whole, fraction) = (value >> 16, ((value & 0xffff) * 100) >> 16);
            assert_eq!((whole, fraction), (load / 100, load % 100));
        }
    }

    #[test]
    fn more_tasks_than_there_is_room_for_are_as_many_as_there_is() {
        let info = SystemInfo::parse(MEMINFO, "0.00 0.00 0.00 1/70000 1\n", "0.00 0.00\n").unwrap();
        assert_eq!(info.tasks, u16::MAX);
    }

    #[test]
    fn texts_of_another_form_are_refused() {
        let (loadavg, uptime) = ("0.00 0.00 0.00 1/1 1\n", "0.00 0.00\n");
        assert!(SystemInfo::parse(MEMINFO, loadavg, uptime).is_some());
        for loadavg in ["", "0.00 0.00 1/1 1", "0.00 0.00 0.00 1 1", "0 0 0 1/1 1", "-0.01 0.00 0.00 1/1 1"] {
            assert_eq!(SystemInfo::parse(MEMINFO, loadavg, uptime), None, "{loadavg:?}");
        }
        for uptime in ["", "x", "1", "1.5", "1.-5"] {
            assert_eq!(SystemInfo::parse(MEMINFO, loadavg, uptime), None, "{uptime:?}");
        }
        assert_eq!(SystemInfo::parse("", loadavg, uptime), None);
    }
}
