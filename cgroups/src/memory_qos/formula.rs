//! `memory.high` from request and limit (KEP-2570, "Memory throttling").

use super::fraction::Fraction;

/// Where throttling begins, in bytes: `floor((request + factor * (bound - request)) / page) * page`, with the limit, or what
/// the node can allocate where there is none, as the bound. `None` when that would not exceed the request: a container must
/// never be throttled within what it was promised.
pub(super) fn throttling_begins(request: u64, bound: u64, factor: Fraction, page: u64) -> Option<u64> {
    let room = bound.checked_sub(request)?;
    let page = page.max(1);
    // A sum of two integers rounds to the page as the exact sum does: the fraction's own rest is below a byte.
    let high = request.saturating_add(factor.of(room)) / page * page;
    (high > request).then_some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;
    const MI: u64 = 1 << 20;

    fn high(request: u64, bound: u64, factor: &str) -> Option<u64> {
        throttling_begins(request, bound, Fraction::factor(factor).unwrap(), PAGE)
    }

    #[test]
    fn the_combinations_of_the_kep() {
        for (request, limit, factor, expected) in [
            (500 * MI, 1000 * MI, "0.6", Some(800 * MI)),
            (800 * MI, 1000 * MI, "0.6", Some(920 * MI)),
            (850 * MI, 1000 * MI, "0.8", Some(970 * MI)),
            (1000 * MI, 1000 * MI, "0.9", None),
            // BestEffort: nothing is requested, and the node is the bound.
            (0, 1000 * MI, "0.9", Some(900 * MI)),
            // A request without a limit, on a node with 32 GiB.
            (1024 * MI, 32 * 1024 * MI, "0.5", Some(16_896 * MI)),
            (0, 1000 * MI, "1", Some(1000 * MI)),
        ] {
            assert_eq!(high(request, limit, factor), expected, "{request} {limit} {factor}");
        }
    }

    #[test]
    fn it_is_rounded_down_to_a_page_and_never_to_the_request() {
        assert_eq!(high(0, 10_000, "0.9"), Some(8192));
        assert_eq!(high(0, 4095, "1"), None);
        // 4096 + 0.5 * 4096 is in the page that the request ends with.
        assert_eq!(high(4096, 8192, "0.5"), None);
        assert_eq!(high(4097, 8192, "0.999"), None);
        assert_eq!(throttling_begins(0, 100_000, Fraction::factor("1").unwrap(), 65_536), Some(65_536));
    }

    #[test]
    fn a_bound_below_the_request_throttles_nothing() {
        assert_eq!(high(2 * MI, MI, "0.9"), None);
        assert_eq!(high(MI, 0, "0.9"), None);
    }

    #[test]
    fn the_greatest_values_neither_overflow_nor_lose_a_page() {
        let greatest = 1_u64 << 63;
        assert_eq!(high(0, greatest, "1"), Some(greatest));
        assert_eq!(high(0, greatest, "0.5"), Some(greatest / 2));
        assert_eq!(high(greatest - PAGE, greatest, "1"), Some(greatest));
        assert_eq!(high(0, u64::MAX, "1"), Some(u64::MAX / PAGE * PAGE));
        // A float of 64 bits is off by 102 bytes here, which can be a page.
        assert_eq!(high(0, greatest, "0.1"), Some(922_337_203_685_477_580 / PAGE * PAGE));
    }
}
