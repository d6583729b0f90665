//! Whose memory the kernel takes when the node is short, with no memory QoS configured. kubepods with a limit is the node.

use std::fs;

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::json;

use crate::fixture::{offline, online, plain};
use crate::page_cache::{fill, page_cache};

const ROUNDS: usize = 10;

/// The node's memory, in MiB.
const NODE: u64 = 220;

/// What each of the two keeps of a file in memory, in MiB.
const CACHE: u64 = 50;

/// What each of the two requested, in MiB.
const REQUEST: u64 = 80;

/// Larger than what the two leave of the node, in MiB.
const GREED: u64 = 200;

/// A container that requested memory, as far as kubelet tells a runtime.
fn requesting(pod: &Pod) -> Container {
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let capacity = total.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    let score = 1000 - 1000 * REQUEST * MI / capacity;
    let container = pod.start(json!({"linux": {"resources": {"oom_score_adj": score}}}));
    fill(&container, CACHE);
    container
}

/// What each of two containers keeps of its page cache beside a third that reads without end, in percent, round by round.
fn kept_beside_a_reader(priorities: [serde_json::Value; 2]) -> Vec<[u64; 2]> {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    kubepods.write("memory.max", &(NODE * MI).to_string());
    let pods = priorities.map(|priority| kubepods.pod(&mut node, Class::Burstable, priority));
    let both = [&pods[0], &pods[1]].map(requesting);
    println!("memory.low: {:?}", [&both[0], &both[1]].map(|one| one.cgroup_file("memory.low")));
    let greedy = kubepods.pod(&mut node, Class::Burstable, plain());
    let reader = greedy.start(json!({}));
    reader.exec(&["dd", "if=/dev/zero", "of=/big", "bs=1M", &format!("count={GREED}")]);
    reader.exec(&["sync", "/big"]);
    let round = |_| {
        for container in &both {
            container.exec(&["dd", "if=/cache", "of=/dev/null", "bs=1M"]);
        }
        let before = [&both[0], &both[1]].map(page_cache);
        reader.exec(&["sh", "-c", "for i in 1 2 3; do cat /big >/dev/null; done"]);
        let after = [&both[0], &both[1]].map(page_cache);
        let kept = [0, 1].map(|index: usize| after[index] * 100 / before[index]);
        println!("{kept:?} % kept");
        kept
    };
    (0..ROUNDS).map(round).collect()
}

#[test]
fn the_offline_containers_cache_goes_and_the_online_ones_stays_ten_times_out_of_ten() {
    let rounds = kept_beside_a_reader([online(), offline()]);
    assert!(rounds.iter().all(|[online, offline]| *online >= 95 && *offline <= 75), "{rounds:?}");
}

#[test]
fn without_priorities_both_lose_their_cache() {
    let rounds = kept_beside_a_reader([plain(), plain()]);
    // The kernel's choice among equals varies from round to round.
    let mean = |index: usize| rounds.iter().map(|kept| kept[index]).sum::<u64>() / rounds.len() as u64;
    assert!(mean(0) <= 75 && mean(1) <= 75, "{rounds:?}");
}
