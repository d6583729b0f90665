//! The load averages of one container, without a timer.
//!
//! The kernel samples the number of tasks that run or wait every five seconds. Here the same decay is applied to whole
//! intervals, whenever somebody looks: the CPU time that was used in one is the mean number of tasks that ran, and the time in
//! which tasks waited for a CPU adds those that did not get one.

/// Time constants in seconds: the decay of 1, 5 and 15 minutes.
const CONSTANTS_S: [f64; 3] = [60.0, 300.0, 900.0];

/// Averages over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Default)]
pub struct LoadAverage {
    at_usec: u64,
    used_usec: u64,
    waited_usec: u64,
    averages: [f64; 3],
}

impl LoadAverage {
    /// Averages that start at nothing at a time.
    #[must_use]
    pub fn starting(began_usec: u64) -> Self {
        Self { at_usec: began_usec, ..Self::default() }
    }

    /// Takes account of the time since the last call: CPU time used, and time in which some task waited for a CPU.
    pub fn advance(&mut self, now_usec: u64, used_usec: u64, waited_usec: u64) {
        let elapsed = now_usec.saturating_sub(self.at_usec);
        if elapsed == 0 {
            return;
        }
        let active = used_usec.saturating_sub(self.used_usec);
        let waiting = waited_usec.saturating_sub(self.waited_usec).min(elapsed);
        let seconds = to_f64(elapsed) / 1e6;
        let load = to_f64(active.saturating_add(waiting)) / to_f64(elapsed);
        for (average, constant) in self.averages.iter_mut().zip(CONSTANTS_S) {
            let kept = (-seconds / constant).exp();
            *average = *average * kept + load * (1.0 - kept);
        }
        self.at_usec = now_usec;
        self.used_usec = self.used_usec.max(used_usec);
        self.waited_usec = self.waited_usec.max(waited_usec);
    }

    /// In hundredths, as the kernel prints them.
    #[must_use]
    pub fn hundredths(&self) -> [u64; 3] {
        self.averages.map(|average| to_u64(average * 100.0 + 0.5))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average is no exact number")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the conversion saturates, and fractions of a hundredth are not shown"
)]
fn to_u64(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn two_busy_tasks_approach_a_load_of_two() {
        let mut load = LoadAverage::starting(0);
        load.advance(60 * SECOND, 120 * SECOND, 0);
        // 1 - 1/e of the way after one time constant.
        assert_eq!(load.hundredths()[0], 126);
        load.advance(600 * SECOND, 1200 * SECOND, 0);
        assert_eq!(load.hundredths()[0], 200);
        assert!(load.hundredths()[2] < load.hundredths()[1]);
    }

    #[test]
    fn how_often_somebody_looks_makes_no_difference() {
        let (mut often, mut once) = (LoadAverage::starting(0), LoadAverage::starting(0));
        for second in 1..=300 {
            often.advance(second * SECOND, second * SECOND / 2, 0);
        }
        once.advance(300 * SECOND, 150 * SECOND, 0);
        assert_eq!(often.hundredths(), once.hundredths());
    }

    #[test]
    fn tasks_that_wait_for_a_cpu_are_load() {
        let mut load = LoadAverage::starting(0);
        load.advance(6000 * SECOND, 6000 * SECOND, 6000 * SECOND);
        assert_eq!(load.hundredths(), [200, 200, 200]);
    }

    #[test]
    fn load_decays_when_nothing_runs_and_clocks_that_go_back_change_nothing() {
        let mut load = LoadAverage::starting(0);
        load.advance(600 * SECOND, 600 * SECOND, 0);
        let busy = load.hundredths();
        load.advance(500 * SECOND, 0, 0);
        assert_eq!(load.hundredths(), busy);
        load.advance(660 * SECOND, 600 * SECOND, 0);
        assert!(load.hundredths()[0] < busy[0]);
    }
}
