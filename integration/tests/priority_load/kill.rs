//! Who is killed when the node has no memory left. kubepods with a limit is the node.

use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::text;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::json;

use crate::fixture::{offline, online};

const ROUNDS: usize = 10;

/// The node's memory, in MiB.
const NODE: u64 = 300;

/// A container that holds `mebibytes`, and is as likely to be killed as kubelet makes one that requests `requested`.
fn holding(pod: &Pod, mebibytes: u64, requested: u64) -> Container {
    let hog = pod.start(json!({
        "image": {"image": SCRATCH},
        "args": ["memhog", (mebibytes * MI).to_string()],
        "linux": {"resources": {"oom_score_adj": 1000 - 1000 * requested / NODE}},
    }));
    hog.wait_for_log("holding");
    hog
}

#[test]
fn the_offline_container_is_killed_first_ten_times_out_of_ten() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    kubepods.write("memory.max", &(NODE * MI).to_string());
    let first = kubepods.pod(&mut node, Class::Burstable, online());
    let second = kubepods.pod(&mut node, Class::Burstable, offline());
    // It holds more than twice as much, so that it would be the one without priorities. Who stays within its request is safe with them.
    let keeper = holding(&first, 180, 200);
    for round in 1..=ROUNDS {
        let victim = holding(&second, 70, 120);
        // In the online container: more than there is, and less than there is without the victim.
        let mut exec = keeper.spawn_exec(&["/probe", "memhog", &(70 * MI).to_string()]);
        let ended = victim.wait();
        assert_eq!(text(&ended, "/status/reason"), "OOMKilled", "round {round}");
        assert_eq!(keeper.state(), "CONTAINER_RUNNING", "round {round}");
        // crictl's end ends what it started no sooner than the container; so by its pid.
        for process in keeper_memhogs(&keeper) {
            process.signal(rustix::process::Signal::KILL);
            process.wait();
        }
        exec.kill().unwrap();
        exec.wait().unwrap();
    }
}

/// The processes of a container but its first.
fn keeper_memhogs(keeper: &Container) -> Vec<ballast_integration::testbed::process::Process> {
    let first = keeper.inspect()["info"]["pid"].as_u64().unwrap().to_string();
    let processes = keeper.cgroup_file("cgroup.procs");
    let others = processes.lines().filter(|pid| **pid != *first);
    others
        .filter_map(|pid| ballast_integration::testbed::process::Process::open(pid.parse().unwrap()))
        .collect()
}
