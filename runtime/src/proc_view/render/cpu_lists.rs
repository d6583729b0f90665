//! `online`, `possible`, `present` and `offline` below `/sys/devices/system/cpu`.

use super::text::Text;

/// Writes the list of the CPUs 0 to `count` - 1.
pub fn cpu_range(out: &mut Vec<u8>, count: u32) {
    let mut text = Text(out);
    text.word("0");
    if count > 1 {
        text.word("-").number(u64::from(count - 1));
    }
    text.word("\n");
}

/// Writes the list of no CPU.
pub fn no_cpus(out: &mut Vec<u8>) {
    Text(out).word("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cpu_is_no_range() {
        for (count, expected) in [(1, "0\n"), (2, "0-1\n"), (128, "0-127\n")] {
            let mut out = Vec::new();
            cpu_range(&mut out, count);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
