//! A Burstable container's memory request, read back from the OOM score that kubelet computed from it: the request itself is
//! not in what containerd gets (kubelet, `pkg/kubelet/qos/policy.go`).
//!
//! kubelet sets `1000 - floor(1000 * request / capacity)`, kept between 2 (since 1.32: 3) and 999. Its whole numbers are
//! steps of a thousandth of the node, so the estimate is the low end of the step: it never promises what was not requested,
//! and is short by less than [`error_bound`], a thousandth of the node (up to four at the ends of the scale).

/// The score of a container that requests nothing, and of every one that requests less than a thousandth of the node.
const LEAST_REQUEST: i32 = 999;
/// Lower scores are those of Guaranteed pods and of critical ones, which say nothing about the request.
const GREATEST_REQUEST: i32 = 2;

/// The least request, in bytes, that kubelet would have given this score; `None` when the score is not one of Burstable
/// containers.
pub(super) fn request(oom_score_adj: i32, capacity: u64) -> Option<u64> {
    if !(GREATEST_REQUEST..=LEAST_REQUEST).contains(&oom_score_adj) {
        return None;
    }
    if oom_score_adj == LEAST_REQUEST {
        // Also that of no request at all.
        return Some(0);
    }
    let thousandths = u128::from((1000 - oom_score_adj).unsigned_abs());
    u64::try_from((thousandths * u128::from(capacity)).div_ceil(1000)).ok()
}

/// How much more than the estimate the request can have been, in bytes (exclusive).
pub(super) fn error_bound(oom_score_adj: i32, capacity: u64) -> u64 {
    let steps = match oom_score_adj {
        LEAST_REQUEST => 2,
        // Everything up to the whole node.
        ..=3 => 4,
        _ => 1,
    };
    u64::try_from((u128::from(capacity) * steps).div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score_by_kubelet(request: u64, capacity: u64) -> i32 {
        let score = 1000 - i64::try_from(u128::from(request) * 1000 / u128::from(capacity)).unwrap();
        i32::try_from(score.clamp(2, 999)).unwrap()
    }

    #[test]
    fn the_estimate_is_never_above_the_request_and_short_by_less_than_the_bound() {
        for capacity in [4_207_800_320_u64, 33_567_219_712, 1 << 40, 3 << 43] {
            for (step, least) in (0..=2003_u64).flat_map(|step| [(step, 2), (step, 3)]) {
                let request_sent = capacity / 2003 * step;
                let score = score_by_kubelet(request_sent, capacity).max(least);
                let estimate = request(score, capacity).unwrap();
                assert!(estimate <= request_sent, "{capacity} {request_sent}");
                let short = request_sent - estimate;
                assert!(short < error_bound(score, capacity), "{capacity} {request_sent}: {short}");
            }
        }
    }

    #[test]
    fn scores_that_kubelet_gives_no_burstable_container_say_nothing() {
        for score in [-997, -999, 0, 1, 1000] {
            assert_eq!(request(score, 1 << 30), None, "{score}");
        }
    }
}
