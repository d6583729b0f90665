//! Who gets how much of the CPU, and the slices that the scheduler gives tasks.

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::kubepods::Kubepods;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::ask_until;

use crate::fixture::{cpu_time, offline, online, plain, probe, weighed};

/// What two pods share in a measurement, in microseconds of CPU time.
const SHARED_MICROSECONDS: u64 = 3_000_000;

/// The slice of an offline task, in microseconds.
const OFFLINE_SLICE: u64 = 10_000;

/// The first pod's share of what both get while they compete, in thousandths.
fn share(first: &Pod, second: &Pod) -> u64 {
    let used = || (cpu_time(first), cpu_time(second));
    let begin = used();
    let (first, second) = ask_until("some seconds of CPU time", || {
        let now = used();
        let used = (now.0 - begin.0, now.1 - begin.1);
        (used.0 + used.1 >= SHARED_MICROSECONDS).then_some(used)
    });
    println!("{first} and {second} us");
    first * 1000 / (first + second)
}

#[test]
fn an_offline_container_takes_next_to_nothing_from_an_online_one() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let first = weighed(&kubepods, &mut node, online(), 39);
    let second = weighed(&kubepods, &mut node, offline(), 39);
    let _spinner = first.start(probe(&["spin"]));
    let _offline_spinner = second.start(probe(&["spin"]));
    // 399 of 402 by the kernel's weights; it counts in ticks.
    assert!(share(&first, &second) >= 970);
}

#[test]
fn online_containers_share_by_weight() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let first = weighed(&kubepods, &mut node, online(), 90);
    let second = weighed(&kubepods, &mut node, online(), 30);
    let _spinner = first.start(probe(&["spin"]));
    let _other_spinner = second.start(probe(&["spin"]));
    let share = share(&first, &second);
    assert!((700..=800).contains(&share), "{share}");
}

#[test]
fn offline_tasks_have_a_long_slice_for_as_long_as_they_are_offline() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = weighed(&kubepods, &mut node, offline(), 39);
    let container = pod.start(probe(&["sleep"]));
    let slices = || ["1", "0"].map(|pid| container.exec(&["/probe", "slice", pid]).parse::<u64>().unwrap());
    // The first process's, and that of an exec.
    assert_eq!(slices(), [OFFLINE_SLICE; 2]);
    run("ballast", &["priority", &pod.id, "online"]).expect_success("ballast priority");
    assert!(slices().iter().all(|slice| *slice < OFFLINE_SLICE));
    run("ballast", &["priority", &pod.id, "offline"]).expect_success("ballast priority");
    assert_eq!(slices(), [OFFLINE_SLICE; 2]);
    let other = weighed(&kubepods, &mut node, plain(), 39);
    let ordinary = other.start(probe(&["sleep"]));
    assert!(ordinary.exec(&["/probe", "slice", "1"]).parse::<u64>().unwrap() < OFFLINE_SLICE);
}
