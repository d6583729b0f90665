//! What protection and throttling do when memory is short, by the kernel's own counters. kubepods with a limit is the node.

use std::time::{Duration, Instant};

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::ask_until;
use serde_json::{Value, json};

use crate::annotations::limited;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};

/// How much of a file a container keeps in memory, in MiB.
const CACHE: u64 = 200;

/// A counter of a flat keyed file.
#[track_caller]
fn counter(container: &Container, file: &str, key: &str) -> u64 {
    let content = container.cgroup_file(file);
    let line = content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {key} in {content}")).parse().unwrap()
}

/// The same counter of `memory.events` in the statistics that containerd's clients get.
#[track_caller]
fn events_in_statistics(container: &Container, event: &str) -> u64 {
    let command = ["-n", "k8s.io", "task", "metrics", "--format", "json", &container.id];
    let metrics = run("ctr", &command).expect_success("ctr task metrics");
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    number(&metrics, &format!("/memory_events/{event}"))
}

fn sh(script: &str) -> Value {
    json!({"command": ["sh", "-c", script]})
}

/// What became of a container's page cache beside a greedy neighbour.
#[derive(Debug)]
struct Outcome {
    /// Kept of its cache, in percent.
    kept: u64,
    /// Pages of the file system that it had and had to read once more.
    refaults: u64,
    major_faults: u64,
}

/// Has a container write and read a file; returns the size of its page cache in bytes.
fn fill_cache(keeper: &Container) -> u64 {
    keeper.exec(&["dd", "if=/dev/zero", "of=/cache", "bs=1M", &format!("count={CACHE}")]);
    keeper.exec(&["sync", "/cache"]);
    keeper.exec(&["dd", "if=/cache", "of=/dev/null", "bs=1M"]);
    let cached = counter(keeper, "memory.stat", "file");
    assert!(cached >= CACHE * MI, "{cached}");
    cached
}

/// Lets a container fill its page cache, a neighbour read far more than is left, and the container read again.
fn beside_a_hog(configuration: &str) -> Outcome {
    let mut node = Node::take();
    let kubepods = Kubepods::make(configuration);
    kubepods.write("memory.max", &(420 * MI).to_string());
    let quiet = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-request": "260Mi"}));
    let greedy = kubepods.pod(&mut node, Class::Burstable, json!({}));
    let keeper = quiet.start(limited(300 * MI, json!({})));
    let before = fill_cache(&keeper);
    let hog = greedy.start(sh(
        "dd if=/dev/zero of=/big bs=1M count=390; sync; for i in 1 2 3 4 5 6; do cat /big >/dev/null; done; echo sated; sleep 1000",
    ));
    hog.wait_for_log("sated");
    let after = counter(&keeper, "memory.stat", "file");
    let refaulted = || counter(&keeper, "memory.stat", "workingset_refault_file");
    let faulted = || counter(&keeper, "memory.stat", "pgmajfault");
    let (refaults, major_faults) = (refaulted(), faulted());
    keeper.exec(&["dd", "if=/cache", "of=/dev/null", "bs=1M"]);
    let outcome = Outcome {
        kept: after * 100 / before,
        refaults: refaulted() - refaults,
        major_faults: faulted() - major_faults,
    };
    println!("{outcome:?} of {CACHE} MiB with {configuration:?}");
    outcome
}

#[test]
fn a_protected_containers_cache_outlives_a_greedy_neighbour() {
    let protected = beside_a_hog(
        "[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'\nestimate_requests = false",
    );
    assert!(protected.kept >= 95, "{protected:?}");
    // Of 51200 pages.
    assert!(protected.refaults < 512 && protected.major_faults < 100, "{protected:?}");
}

#[test]
fn an_unprotected_containers_cache_does_not() {
    let unprotected = beside_a_hog("[memory_qos]\npolicy = 'off'");
    assert!(unprotected.kept < 50, "{unprotected:?}");
    assert!(unprotected.refaults > 10_000, "{unprotected:?}");
}

#[test]
fn protection_that_ends_at_the_pod_is_none() {
    let withheld =
        beside_a_hog("[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'pod'\nestimate_requests = false");
    assert!(withheld.kept < 50, "{withheld:?}");
}

#[test]
fn what_is_guaranteed_is_not_taken_even_to_avert_a_kill() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'");
    kubepods.write("memory.max", &(420 * MI).to_string());
    let guaranteed = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    let best_effort = kubepods.pod(&mut node, Class::BestEffort, json!({}));
    let keeper = guaranteed.start(limited(260 * MI, json!({})));
    let before = fill_cache(&keeper);
    let hog =
        best_effort.start(json!({"image": {"image": SCRATCH}, "args": ["memhog", (300 * MI).to_string()]}));
    let ended = hog.wait();
    assert_eq!((text(&ended, "/status/reason"), number(&ended, "/status/exitCode")), ("OOMKilled", 137));
    let after = counter(&keeper, "memory.stat", "file");
    println!("{} % of a guaranteed cache kept", after * 100 / before);
    assert!(after * 100 >= before * 95, "{after} of {before}");
    assert_eq!(keeper.state(), "CONTAINER_RUNNING");
}

/// How often the neighbour works alone and then beside a greedy one: in turns, because the machine has other work, too.
const TURNS: usize = 8;
/// After so many turns the neighbour has to be as fast as it should; a machine that is busy meanwhile gets more of them.
const TURNS_AT_MOST: usize = 4 * TURNS;
/// Rounds of its work in each turn.
const ROUNDS: usize = 6;

/// How long the neighbour takes for each round of a turn.
fn rounds(neighbour: &Container) -> Vec<Duration> {
    let round = |_| {
        let begin = Instant::now();
        neighbour.exec(&["sh", "-c", "i=0; while [ $i -lt 30 ]; do cat /work >/dev/null; i=$((i+1)); done"]);
        begin.elapsed()
    };
    (0..ROUNDS).map(round).collect()
}

/// The lower quartile: a neighbour that takes processor time shows in every round, what the machine does besides in some.
fn quartile(rounds: &mut [Duration]) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 4]
}

/// A greedy container beside a neighbour that works, whose rounds are returned.
fn throttled_turn(greedy: &Pod, configuration: &Value, neighbour: &Container) -> Vec<Duration> {
    let hog = greedy.start(configuration.clone());
    assert_eq!(hog.cgroup_file("memory.high"), (72 * MI).to_string());
    let events = |event| counter(&hog, "memory.events", event);
    ask_until("throttling", || (events("high") > 0).then_some(()));
    let beside = rounds(neighbour);
    let high = events("high");
    let held = hog.cgroup_file("memory.current").parse::<u64>().unwrap() / MI;
    println!("throttled {high} times at {held} MiB");
    ask_until("more throttling", || (events("high") > high).then_some(()));
    assert!(held < 150, "nothing kept it from {held} MiB");
    assert_eq!(hog.state(), "CONTAINER_RUNNING");
    assert!(events_in_statistics(&hog, "high") >= high);
    assert_eq!(events("oom_kill"), 0);
    crictl(&["rm", "--force", &hog.id]);
    beside
}

#[test]
fn who_exceeds_memory_high_is_throttled_and_the_neighbour_is_not() {
    let mut node = Node::take();
    let kubepods = Kubepods::make(
        "[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'\nthrottling_factor = 0.2",
    );
    let burstable = json!({"ballast.dev/memory-request": "40Mi"});
    let greedy = kubepods.pod(&mut node, Class::Burstable, burstable.clone());
    let quiet = kubepods.pod(&mut node, Class::Burstable, burstable);
    let neighbour = quiet.start(limited(200 * MI, json!({})));
    neighbour.exec(&["dd", "if=/dev/zero", "of=/work", "bs=1M", "count=16"]);
    neighbour.exec(&["sync", "/work"]);
    // Far more than its memory.high of 72 MiB and less than its limit.
    let mut configuration = limited(200 * MI, json!({}));
    configuration["image"] = json!({"image": SCRATCH});
    configuration["args"] = json!(["memhog", (190 * MI).to_string()]);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for turn in 1.. {
        alone.extend(rounds(&neighbour));
        beside.extend(throttled_turn(&greedy, &configuration, &neighbour));
        if turn % TURNS > 0 {
            continue;
        }
        let (alone, beside) = (quartile(&mut alone), quartile(&mut beside));
        println!("a neighbour's round: {alone:?} alone, {beside:?} beside it");
        if beside * 5 <= alone * 6 {
            break;
        }
        assert!(turn < TURNS_AT_MOST, "{beside:?} beside it, {alone:?} alone");
    }
    assert_eq!(counter(&neighbour, "memory.events", "high"), 0);
}

#[test]
fn who_exceeds_the_limit_is_killed_and_reported() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 1");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-request": "16Mi"}));
    let mut configuration = limited(32 * MI, json!({}));
    configuration["image"] = json!({"image": SCRATCH});
    configuration["args"] = json!(["memhog", (200 * MI).to_string()]);
    let ended = pod.start(configuration).wait();
    assert_eq!(text(&ended, "/status/reason"), "OOMKilled");
    assert_eq!(number(&ended, "/status/exitCode"), 137);
}
