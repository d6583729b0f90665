//! `/proc/cpuinfo`: blocks of lines, one for each CPU.

use super::text::Text;
use crate::proc_view::figures::CpuList;

/// Writes the blocks of the first `count` of the host's CPUs that the container may run on, numbered from 0, as the cores of
/// one processor. What follows the blocks on some architectures stays.
///
/// Each block ends with an empty line. User-mode Linux leaves it out after the last, and procps 4.0.2, which looks for
/// `core id` or that line, then gives up on `/proc/stat` as a whole: no `vmstat`, no summary of `top`.
///
/// Returns whether the host's text has blocks at all; where it has not (s390x), nothing is written.
#[must_use]
pub fn cpuinfo(out: &mut Vec<u8>, host: &str, allowed: &CpuList, count: u32) -> bool {
    let mut shown = 0;
    let mut known = false;
    for block in blocks(host) {
        match processor(block) {
            None if known => {
                out.extend_from_slice(block.as_bytes());
            }
            None => return false,
            Some(id) => {
                known = true;
                if shown < count && allowed.contains(id) {
                    write_block(out, block, shown, count);
                    shown += 1;
                }
            }
        }
    }
    // CPUs that went offline since the count was taken: a block too few is better than one of somebody else's CPU.
    known
}

/// The text cut after each empty line, and before each CPU's number.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let empty_line = rest.find("\n\n").map(|position| position + 2);
        let next_cpu = rest.find("\nprocessor\t").map(|position| position + 1);
        let end = [empty_line, next_cpu].into_iter().flatten().min().unwrap_or(rest.len());
        let (block, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(block)
    })
}

/// The number of the CPU that a block is about.
fn processor(block: &str) -> Option<u32> {
    let (key, value) = block.lines().next()?.split_once(':')?;
    (key.trim_end() == "processor").then(|| value.trim().parse().ok())?
}

fn write_block(out: &mut Vec<u8>, block: &str, number: u32, count: u32) {
    for line in block.split_inclusive('\n') {
        let (key, end) = line.split_once(':').unwrap_or((line, ""));
        let value = match key.trim_end() {
            "processor" | "core id" | "apicid" | "initial apicid" => number,
            "physical id" => 0,
            "siblings" | "cpu cores" => count,
            _ => {
                out.extend_from_slice(line.as_bytes());
                continue;
            }
        };
        let end = if end.ends_with('\n') { "\n" } else { "" };
        Text(out).word(key).word(": ").number(u64::from(value)).word(end);
    }
    if !out.ends_with(b"\n\n") {
        Text(out).word("\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(count: u32) -> String {
        (0..count)
            .map(|cpu| {
                format!(
                    "processor\t: {cpu}\nvendor_id\t: GenuineIntel\nmodel name\t: A CPU @ 2.50GHz\nphysical id\t: {}\n\
                     siblings\t: 64\ncore id\t\t: {}\ncpu cores\t: 32\napicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes\n\
                     flags\t\t: fpu vme\nbugs\t\t:\npower management:\n\n",
                    cpu / 64,
                    cpu % 32
                )
            })
            .collect()
    }

    fn rendered(host: &str, allowed: &str, count: u32) -> Option<String> {
        let mut out = Vec::new();
        cpuinfo(&mut out, host, &CpuList::parse(allowed).unwrap(), count)
            .then(|| String::from_utf8(out).unwrap())
    }

    fn numbers(text: &str, key: &str) -> Vec<u32> {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(name, _)| name.trim_end() == key)
            .map(|(_, value)| value.trim().parse().unwrap())
            .collect()
    }

    #[test]
    fn all_cpus_of_one_socket_with_as_many_cores_are_the_hosts_text() {
        let one =
            host(1).replace("siblings\t: 64", "siblings\t: 1").replace("cpu cores\t: 32", "cpu cores\t: 1");
        assert_eq!(rendered(&one, "0", 1).as_deref(), Some(&*one));
    }

    #[test]
    fn cpus_are_numbered_from_zero_and_the_topology_agrees() {
        let text = rendered(&host(8), "2-3,6", 3).unwrap();
        for key in ["processor", "core id", "apicid", "initial apicid"] {
            assert_eq!(numbers(&text, key), [0, 1, 2], "{key}");
        }
        for key in ["siblings", "cpu cores"] {
            assert_eq!(numbers(&text, key), [3, 3, 3], "{key}");
        }
        assert_eq!(numbers(&text, "physical id"), [0, 0, 0]);
        assert!(text.contains("power management:\n\nprocessor\t: 1\n"), "{text}");
    }

    #[test]
    fn a_quota_shows_the_first_of_the_allowed_cpus() {
        assert_eq!(numbers(&rendered(&host(128), "0-127", 2).unwrap(), "processor"), [0, 1]);
        assert_eq!(numbers(&rendered(&host(128), "0-127", 128).unwrap(), "processor").len(), 128);
    }

    #[test]
    fn what_follows_the_blocks_stays() {
        let arm =
            "processor\t: 0\nBogoMIPS\t: 38.40\n\nprocessor\t: 1\nBogoMIPS\t: 38.40\n\nHardware\t: BCM2835\n";
        let shown = "processor\t: 0\nBogoMIPS\t: 38.40\n\nHardware\t: BCM2835\n";
        assert_eq!(rendered(arm, "0-1", 1).as_deref(), Some(shown));
    }

    #[test]
    fn a_block_without_its_empty_line_gets_it() {
        let user_mode_linux =
            "processor\t: 0\nmodel name\t: UML\nbogomips\t: 1.00\nprocessor\t: 1\nbogomips\t: 1.00\n";
        let first = "processor\t: 0\nmodel name\t: UML\nbogomips\t: 1.00\n\n";
        assert_eq!(rendered(user_mode_linux, "0-1", 1).as_deref(), Some(first));
        let both = format!("{first}processor\t: 1\nbogomips\t: 1.00\n\n");
        assert_eq!(rendered(user_mode_linux, "0-1", 2), Some(both));
    }

    #[test]
    fn another_layout_is_not_touched() {
        assert_eq!(rendered("vendor_id       : IBM/S390\nprocessor 0: version = FF\n", "0", 1), None);
        assert_eq!(rendered("", "0", 1), None);
    }
}
