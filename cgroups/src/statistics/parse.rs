//! The forms of cgroup v2's files (kernel documentation, "Control Group v2", "Format"), read without allocating.
//! A key that is not known is passed over: each kernel adds some.

use crate::statistics::{CpuStatistics, IoStatistics, MemoryEvents, MemoryStat, Pressure, PressureLine};

/// A single value; "max" is `u64::MAX`.
pub(super) fn bound(content: &str) -> Option<u64> {
    match content.trim_end() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Lines of key and number. `None` when one is neither.
pub(super) fn flat_keyed(content: &str, mut set: impl FnMut(&str, u64)) -> Option<()> {
    for line in content.lines() {
        let (key, value) = line.split_once(' ')?;
        set(key, value.parse().ok()?);
    }
    Some(())
}

pub(super) fn cpu(content: &str) -> Option<CpuStatistics> {
    let mut cpu = CpuStatistics::default();
    flat_keyed(content, |key, value| match key {
        "usage_usec" => cpu.usage_usec = value,
        "user_usec" => cpu.user_usec = value,
        "system_usec" => cpu.system_usec = value,
        "nr_periods" => cpu.nr_periods = value,
        "nr_throttled" => cpu.nr_throttled = value,
        "throttled_usec" => cpu.throttled_usec = value,
        "nr_bursts" => cpu.nr_bursts = value,
        "burst_usec" => cpu.burst_usec = value,
        _ => {}
    })?;
    Some(cpu)
}

pub(super) fn memory_stat(content: &str) -> Option<MemoryStat> {
    let mut stat = MemoryStat::default();
    flat_keyed(content, |key, value| stat.set(key, value))?;
    let sum = |whole: u64, anon: u64, file: u64| if whole == 0 { anon + file } else { whole };
    stat.workingset_refault =
        sum(stat.workingset_refault, stat.workingset_refault_anon, stat.workingset_refault_file);
    stat.workingset_activate =
        sum(stat.workingset_activate, stat.workingset_activate_anon, stat.workingset_activate_file);
    Some(stat)
}

pub(crate) fn memory_events(content: &str) -> Option<MemoryEvents> {
    let mut events = MemoryEvents::default();
    flat_keyed(content, |key, value| events.set(key, value))?;
    Some(events)
}

pub(crate) fn pressure(content: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in content.lines() {
        let (name, values) = line.split_once(' ')?;
        let line = pressure_line(values)?;
        match name {
            "some" => pressure.some = line,
            "full" => pressure.full = line,
            _ => {}
        }
    }
    Some(pressure)
}

fn pressure_line(values: &str) -> Option<PressureLine> {
    let mut line = PressureLine::default();
    for pair in values.split_ascii_whitespace() {
        match pair.split_once('=')? {
            ("avg10", share) => line.avg10 = share.parse().ok()?,
            ("avg60", share) => line.avg60 = share.parse().ok()?,
            ("avg300", share) => line.avg300 = share.parse().ok()?,
            ("total", time) => line.total_usec = time.parse().ok()?,
            _ => {}
        }
    }
    Some(line)
}

/// Replaces `devices` by those of `io.stat`.
pub(super) fn io(content: &str, devices: &mut Vec<IoStatistics>) -> Option<()> {
    devices.clear();
    for line in content.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let mut device = IoStatistics {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            ..IoStatistics::default()
        };
        let mut used = false;
        for pair in fields {
            // Some policies print statistics of their own, in forms of their own.
            let Some((key, value)) = pair.split_once('=') else { continue };
            let field = match key {
                "rbytes" => &mut device.rbytes,
                "wbytes" => &mut device.wbytes,
                "rios" => &mut device.rios,
                "wios" => &mut device.wios,
                _ => continue,
            };
            *field = value.parse().ok()?;
            used = true;
        }
        // Before Linux 6.2 a device without any use is printed as its bare number.
        if used {
            devices.push(device);
        }
    }
    Some(())
}

/// Calls `set` for each device of `rdma.current` or `rdma.max` with handles and objects.
pub(super) fn rdma(content: &str, mut set: impl FnMut(&str, u32, u32)) -> Option<()> {
    let count = |value: &str| if value == "max" { Some(u32::MAX) } else { value.parse().ok() };
    for line in content.lines() {
        let mut fields = line.split_ascii_whitespace();
        let device = fields.next()?;
        let (mut handles, mut objects) = (0, 0);
        for pair in fields {
            match pair.split_once('=')? {
                ("hca_handle", value) => handles = count(value)?,
                ("hca_object", value) => objects = count(value)?,
                _ => {}
            }
        }
        set(device, handles, objects);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_without_limit_is_the_greatest_number() {
        assert_eq!(bound("max\n"), Some(u64::MAX));
        assert_eq!(bound("4096\n"), Some(4096));
        assert_eq!(bound("x\n"), None);
    }

    #[test]
    fn cpu_stat_with_and_without_its_controller() {
        let without = cpu("usage_usec 30\nuser_usec 10\nsystem_usec 20\nnice_usec 0\n").unwrap();
        assert_eq!(
            without,
            CpuStatistics { usage_usec: 30, user_usec: 10, system_usec: 20, ..Default::default() }
        );
        let with =
            cpu("usage_usec 1\nnr_periods 2\nnr_throttled 3\nthrottled_usec 4\nnr_bursts 5\nburst_usec 6\n")
                .unwrap();
        assert_eq!((with.nr_periods, with.nr_throttled, with.throttled_usec), (2, 3, 4));
        assert_eq!((with.nr_bursts, with.burst_usec), (5, 6));
        assert_eq!(cpu("usage_usec x\n"), None);
    }

    #[test]
    fn split_working_set_counters_are_summed() {
        let stat =
            memory_stat("anon 5\nworkingset_refault_anon 2\nworkingset_refault_file 3\nnew_key 1\n").unwrap();
        assert_eq!((stat.anon, stat.workingset_refault), (5, 5));
        assert_eq!(memory_stat("workingset_refault 9\n").unwrap().workingset_refault, 9);
    }

    #[test]
    fn pressure_of_the_cpu_may_lack_its_second_line() {
        let some = "some avg10=0.12 avg60=1.50 avg300=99.00 total=123\n";
        let line = PressureLine { avg10: 0.12, avg60: 1.5, avg300: 99.0, total_usec: 123 };
        assert_eq!(pressure(some), Some(Pressure { some: line, full: PressureLine::default() }));
        let both = format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
        assert_eq!(pressure(&both).unwrap().full.total_usec, 7);
        assert_eq!(pressure("some\n"), None);
    }

    #[test]
    fn io_stat_skips_unused_devices_and_foreign_statistics() {
        let mut devices = vec![IoStatistics::default(); 3];
        io("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n8:0\n254:0 use_delay rbytes=9\n", &mut devices).unwrap();
        assert_eq!(
            devices,
            [
                IoStatistics { major: 8, minor: 16, rbytes: 1, wbytes: 2, rios: 3, wios: 4 },
                IoStatistics { major: 254, minor: 0, rbytes: 9, ..Default::default() },
            ]
        );
    }

    #[test]
    fn rdma_lines_are_devices() {
        let mut seen = Vec::new();
        rdma(
            "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n",
            |device, handles, objects| {
                seen.push((device.to_owned(), handles, objects));
            },
        )
        .unwrap();
        assert_eq!(seen, [("mlx4_0".to_owned(), 2, 2000), ("ocrdma1".to_owned(), 3, u32::MAX)]);
    }
}
