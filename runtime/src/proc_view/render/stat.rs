//! `/proc/stat` (Linux `Documentation/filesystems/proc.rst`, 1.7).

use super::text::Text;
use crate::proc_view::figures::{CpuClock, CpuShare, CpuTimes};

/// Microseconds of one of the hundred ticks per second (`USER_HZ`) that user space is told of on every architecture that
/// Ballast runs on.
const TICK_USEC: u64 = 10_000;

/// The kinds of softirq that are counted after their sum.
const SOFTIRQS: usize = 10;

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Stat<'a> {
    /// The counters.
    pub clock: &'a CpuClock,
    /// The CPUs that are shown.
    pub share: CpuShare,
    /// When the container booted, in seconds since 1970: now less its uptime.
    pub booted_s: u64,
    /// Tasks that run; the reader is one.
    pub running: u64,
}

/// Writes the container's view. Interrupts, context switches and forks are not counted by cgroup and are zero.
pub fn stat(out: &mut Vec<u8>, stat: &Stat<'_>) {
    let mut text = Text(out);
    // The sum is padded by one more space.
    text.word("cpu  ");
    write_times(&mut text, &stat.clock.total());
    for (number, times) in (0..).zip(stat.clock.cpus(stat.share)) {
        text.word("cpu").number(number).word(" ");
        write_times(&mut text, times);
    }
    text.word("intr 0\nctxt 0\nbtime ").number(stat.booted_s);
    text.word("\nprocesses 0\nprocs_running ").number(stat.running.max(1));
    text.word("\nprocs_blocked 0\nsoftirq 0");
    for _ in 0..SOFTIRQS {
        text.word(" 0");
    }
    text.word("\n");
}

fn write_times(text: &mut Text<'_>, times: &CpuTimes) {
    let known = [times.user_usec, times.nice_usec, times.system_usec, times.idle_usec];
    for (index, usec) in known.into_iter().enumerate() {
        text.word(if index == 0 { "" } else { " " }).number(usec / TICK_USEC);
    }
    // iowait, irq, softirq, steal, guest, guest_nice
    text.word(" 0 0 0 0 0 0\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_view::figures::CpuSample;

    #[test]
    fn cpus_are_numbered_from_zero_and_their_sum_comes_first() {
        let share = CpuShare { count: 2, thousandths: 2000 };
        let mut clock = CpuClock::starting(0);
        clock.advance(
            CpuSample {
                now_usec: 10_000_000,
                user_usec: 4_000_000,
                nice_usec: 200_000,
                system_usec: 2_000_000,
            },
            share,
        );
        let mut out = Vec::new();
        stat(&mut out, &Stat { clock: &clock, share, booted_s: 1_700_000_000, running: 0 });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cpu  400 20 200 1380 0 0 0 0 0 0\ncpu0 200 10 100 690 0 0 0 0 0 0\ncpu1 200 10 100 690 0 0 0 0 0 0\nintr 0\n\
             ctxt 0\nbtime 1700000000\nprocesses 0\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
        );
    }
}
