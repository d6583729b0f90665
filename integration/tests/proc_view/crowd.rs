//! A container that does nothing but read, beside another.

use std::time::Duration;

use super::readers::Readers;
use super::{PROGRAMS, asking, node};
use rustix::process::Signal;

/// How long the neighbour is watched at a time.
const PHASE: Duration = Duration::from_millis(500);
/// Of each kind, by turns, so that what else the machine does falls on both.
const PHASES: u32 = 4;

#[test]
fn a_thousand_readers_are_no_worse_for_a_neighbour_than_a_thousand_busy_threads() {
    let mut node = node();
    node.pull(PROGRAMS);
    let (pod, others) = (node.pod(asking()), node.pod(asking()));
    let neighbour = Readers::start(&pod, 1, "opened", &["/proc/meminfo"]);
    let crowd = Readers::start(&others, 1000, "opened", &["/proc/meminfo", "/proc/stat", "/proc/vmstat"]);
    let (neighbours, crowds) = (neighbour.container.process(), crowd.container.process());
    let mut texts = [0, 0];
    for phase in 0..2 * PHASES {
        // They read first, and then spin.
        let kind = usize::from(phase % 2 == 1);
        let before = neighbour.texts();
        assert!(!neighbours.ends_within(PHASE), "the neighbour ended");
        texts[kind] += neighbour.texts() - before;
        crowds.signal(Signal::USR1);
    }
    let [beside_readers, beside_busy_threads] = texts;
    assert!(crowd.texts() > 0);
    assert_eq!((neighbour.failures(), crowd.failures()), (0, 0));
    // On one CPU the shim that serves the crowd is a third that wants its share.
    assert!(
        beside_readers * 4 >= beside_busy_threads,
        "{beside_readers} texts beside readers, {beside_busy_threads} beside busy threads"
    );
}
