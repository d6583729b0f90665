//! What Ballast set itself as goals, per measured quantity. Only data and its comparison; a missed goal is reported, it
//! fails nothing: timing on a noisy machine is no test.

use super::samples::Unit;

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Budget {
    /// At most this share of crun's median.
    OfCrun(f64),
    /// At most this share of runc's median.
    OfRunc(f64),
    /// At least so many times runc's median.
    TimesRunc(f64),
    /// At most this many bytes.
    Bytes(u64),
}

/// The goal for `what`, if there is one.
pub(super) fn for_quantity(what: &str, unit: Unit) -> Option<Budget> {
    match (what, unit) {
        ("StartContainer" | "StartContainer without limits" | "ExecSync", Unit::Nanoseconds) => {
            Some(Budget::OfCrun(0.35))
        }
        ("RunPodSandbox", Unit::Nanoseconds) => Some(Budget::OfCrun(0.75)),
        ("CPU of a pod's life", Unit::Nanoseconds) => Some(Budget::OfRunc(0.5)),
        // Not the log's: that is as fast as containerd writes it, whoever brings it.
        ("output through a pipe" | "output through a terminal", Unit::BytesPerSecond) => {
            Some(Budget::TimesRunc(2.0))
        }
        // PSS shares the program's pages among the pods: the goal is set for a node with fifty.
        (what, Unit::Bytes) if pods_of(what, "PSS, ").is_some_and(|pods| pods >= 50) => {
            Some(Budget::Bytes(2 << 20))
        }
        (what, Unit::Bytes) if what.starts_with("dirty") => Some(Budget::Bytes(1 << 20)),
        _ => None,
    }
}

/// How many pods a quantity that begins with `what` was measured among.
fn pods_of(quantity: &str, what: &str) -> Option<u32> {
    quantity.strip_prefix(what)?.strip_suffix(" pods")?.parse().ok()
}

impl Budget {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn is_met(self, ballast: u64, crun: u64, runc: u64) -> bool {
        match self {
            Self::OfCrun(share) => ballast as f64 <= share * crun as f64,
            Self::OfRunc(share) => ballast as f64 <= share * runc as f64,
            Self::TimesRunc(times) => ballast as f64 >= times * runc as f64,
            Self::Bytes(limit) => ballast <= limit,
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OfCrun(share) => write!(formatter, "<= {share:.2} x crun"),
            Self::OfRunc(share) => write!(formatter, "<= {share:.2} x runc"),
            Self::TimesRunc(times) => write!(formatter, ">= {times:.0} x runc"),
            Self::Bytes(limit) => write!(formatter, "<= {} MiB", limit >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_met_up_to_the_share_itself() {
        assert!(Budget::OfCrun(0.35).is_met(35, 100, 0));
        assert!(!Budget::OfCrun(0.35).is_met(36, 100, 1000));
        assert!(Budget::OfRunc(0.5).is_met(50, 0, 100));
        assert!(!Budget::OfRunc(0.5).is_met(51, 1000, 100));
    }

    #[test]
    fn twice_as_much_is_met_from_twice_on() {
        assert!(Budget::TimesRunc(2.0).is_met(200, 1000, 100));
        assert!(!Budget::TimesRunc(2.0).is_met(199, 0, 100));
    }

    #[test]
    fn the_goal_for_pss_is_for_fifty_pods_only() {
        assert_eq!(for_quantity("PSS, 10 pods", Unit::Bytes), None);
        assert_eq!(for_quantity("PSS, 1 pod", Unit::Bytes), None);
        assert!(for_quantity("PSS, 50 pods", Unit::Bytes).is_some());
    }
}
