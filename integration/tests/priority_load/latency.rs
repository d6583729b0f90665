//! How late a container wakes up that sleeps most of the time, beside others that never do.

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::kubepods::Kubepods;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;

use crate::fixture::{freeze, frozen_spinners, offline, online, plain, probe, weighed};

const SPINNERS: usize = 4;

/// A turn measures alone, beside offline spinners and beside plain ones; a machine that is busy meanwhile gets more of them.
const TURNS_AT_MOST: usize = 12;

/// Being late, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Late {
    p50: u64,
    p90: u64,
    /// Told, and not judged: on a busy machine it is the machine's.
    p99: u64,
}

impl Late {
    const NEVER: Self = Self { p50: u64::MAX, p90: u64::MAX, p99: u64::MAX };

    fn measure(sleeper: &Container) -> Self {
        // A period that the tick does not divide.
        let printed = sleeper.exec(&["/probe", "wake", "4000", "250"]);
        let words: Vec<&str> = printed.split_ascii_whitespace().collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name).unwrap();
            words[at + 1].parse().unwrap()
        };
        Self { p50: value("p50"), p90: value("p90"), p99: value("p99") }
    }

    /// What the machine does besides only ever adds.
    fn least(self, other: Self) -> Self {
        Self { p50: self.p50.min(other.p50), p90: self.p90.min(other.p90), p99: self.p99.min(other.p99) }
    }

    /// Beside `pods`, which are stopped before and after.
    fn beside(sleeper: &Container, pods: &[Pod]) -> Self {
        freeze(pods, false);
        let late = Self::measure(sleeper);
        freeze(pods, true);
        late
    }
}

#[test]
fn an_online_container_wakes_up_beside_offline_ones_as_if_it_were_alone() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = weighed(&kubepods, &mut node, online(), 39);
    let sleeper = pod.start(probe(&["sleep"]));
    let behind = frozen_spinners(&kubepods, &mut node, &offline(), SPINNERS);
    let equals = frozen_spinners(&kubepods, &mut node, &plain(), SPINNERS);
    let (mut alone, mut with, mut without) = (Late::NEVER, Late::NEVER, Late::NEVER);
    for turn in 1.. {
        alone = alone.least(Late::measure(&sleeper));
        with = with.least(Late::beside(&sleeper, &behind));
        without = without.least(Late::beside(&sleeper, &equals));
        println!("turn {turn}: alone {alone:?}, with priorities {with:?}, without {without:?}");
        let is_as_alone = with.p50 * 2 <= alone.p50 * 3 + 400;
        // Depending on how the period meets the tick, it is one tenth that waits for it, or one half.
        let is_worse_without = 2 * without.p90 >= 3 * with.p90 || without.p50 >= 3 * with.p50;
        if is_as_alone && is_worse_without {
            break;
        }
        assert!(turn < TURNS_AT_MOST, "alone {alone:?}, with priorities {with:?}, without {without:?}");
    }
    for pods in [&behind, &equals] {
        freeze(pods, false);
    }
}
