//! Values that cgroup v1, whose terms the OCI runtime specification uses, has on another scale than v2.

use crate::limits::Limit;

/// CPU shares (2 to 262144, 1024 by default) to `cpu.weight` (1 to 10000, 100 by default). `None` for 0, which
/// stands for "not set".
///
/// The weight is 10^((l² + 125 l) / 612 - 7/34) with l = log2(shares), rounded up: the one parabola in the logarithm
/// through both ends and the two defaults. runc since 1.3.2 and crun since 1.23 convert so, and kubelet with them. The
/// older linear formula gave a container with the default of 1024 shares a weight of 39, so that it lost to every
/// service of the node, and left almost no steps to small requests.
pub(super) fn cpu_weight_from_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        // Exact below 2^53.
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            Some(10_f64.powf(exponent).ceil() as u64)
        }
    }
}

/// A block I/O weight (10 to 1000) to `io.weight` (1 to 10000), linearly, as kernel and runtimes agree.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

/// What a file of sizes holds or takes: bytes, with the kernel's optional K, M, G or T, or `max`.
pub(crate) fn parse_size(value: &str) -> Option<Limit> {
    if value == "max" {
        return Some(Limit::Unlimited);
    }
    let shift = match value.bytes().last()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return value.parse().ok().map(Limit::At),
    };
    value.get(..value.len() - 1)?.parse::<u64>().ok()?.checked_mul(1 << shift).map(Limit::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_and_the_default_of_the_cpu_scales_meet() {
        for (shares, weight) in [
            (0, None),
            (1, Some(1)),
            (2, Some(1)),
            (1024, Some(100)),
            (262_144, Some(10_000)),
            (u64::MAX, Some(10_000)),
        ] {
            assert_eq!(cpu_weight_from_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn more_shares_never_weigh_less_and_small_requests_stay_apart() {
        let weights: Vec<u64> = (1..=262_144).filter_map(cpu_weight_from_shares).collect();
        assert!(weights.is_sorted());
        // 100m, 500m, 2 CPUs and 8 CPUs in Kubernetes.
        assert_eq!(
            [102, 512, 2048, 8192].map(cpu_weight_from_shares),
            [Some(17), Some(59), Some(174), Some(532)]
        );
    }

    #[test]
    fn both_ends_of_the_io_scales_meet() {
        assert_eq!([10, 1000].map(io_weight), [1, 10_000]);
        assert_eq!(io_weight(500), 4950);
    }
}
