//! `/proc/uptime`: seconds since the boot, and seconds that all CPUs together were idle.

use super::text::Text;

/// Writes both, cut to hundredths as the kernel does.
pub fn uptime(out: &mut Vec<u8>, uptime_usec: u64, idle_usec: u64) {
    Text(out).hundredths(uptime_usec / 10_000).word(" ").hundredths(idle_usec / 10_000).word("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_two_digits() {
        let mut out = Vec::new();
        uptime(&mut out, 350_735_470_000, 9_999);
        assert_eq!(out, b"350735.47 0.00\n");
        out.clear();
        uptime(&mut out, 50_000, 1_090_000);
        assert_eq!(out, b"0.05 1.09\n");
    }
}
