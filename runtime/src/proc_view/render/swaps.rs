//! `/proc/swaps` (Linux `mm/swapfile.c`).

use super::text::Text;
use crate::proc_view::figures::Memory;

/// Sizes of fewer digits get a second tabulator.
const WIDE_KIB: u64 = 10_000_000;

/// Writes one area without a name for all the swap that the container may use; none when it may use none.
pub fn swaps(out: &mut Vec<u8>, memory: &Memory) {
    let mut text = Text(out);
    text.word("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    let total_kib = memory.swap_total / 1024;
    if total_kib == 0 {
        return;
    }
    let used_kib = total_kib.saturating_sub(memory.swap_free / 1024);
    let tabulators = |kib| if kib < WIDE_KIB { "\t\t" } else { "\t" };
    text.word("none").spaces(36).word("virtual\t\t");
    text.number(total_kib).word(tabulators(total_kib));
    text.number(used_kib).word(tabulators(used_kib)).word("0\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(swap_total: u64, swap_free: u64) -> String {
        let mut out = Vec::new();
        swaps(&mut out, &Memory { swap_total, swap_free, ..Memory::default() });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_used_is_what_is_not_free() {
        let text = rendered(1 << 30, 1 << 29);
        assert!(
            text.ends_with(&format!("none{}virtual\t\t1048576\t\t524288\t\t0\n", " ".repeat(36))),
            "{text:?}"
        );
        assert!(rendered(1 << 34, 0).ends_with("16777216\t16777216\t0\n"));
    }

    #[test]
    fn without_swap_there_is_no_area() {
        assert_eq!(rendered(0, 0), "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    }
}
