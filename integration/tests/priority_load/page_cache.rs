//! A bound of page cache, which mainline has no file for.

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::kubepods::{Class, Kubepods, MI};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::ask_until;
use serde_json::json;

/// The bytes of a container's page cache.
pub(crate) fn page_cache(container: &Container) -> u64 {
    let content = container.cgroup_file("memory.stat");
    content.lines().find_map(|line| line.strip_prefix("file ")).unwrap().parse().unwrap()
}

/// Has a container write `/cache` and keep it in memory.
pub(crate) fn fill(container: &Container, mebibytes: u64) {
    container.exec(&["dd", "if=/dev/zero", "of=/cache", "bs=1M", &format!("count={mebibytes}")]);
    container.exec(&["sync", "/cache"]);
    container.exec(&["dd", "if=/cache", "of=/dev/null", "bs=1M"]);
}

#[test]
fn page_cache_is_brought_below_its_bound_and_nobody_elses_is() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod =
        kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/page-cache-limit.bounded": "50Mi"}));
    let named = |name: &str| pod.start(json!({"metadata": {"name": name, "attempt": 1}}));
    let (bounded, free) = (named("bounded"), named("free"));
    fill(&free, 120);
    fill(&bounded, 120);
    ask_until("less page cache", || (page_cache(&bounded) <= 50 * MI).then_some(()));
    assert!(page_cache(&free) >= 115 * MI);
    assert_eq!(bounded.state(), "CONTAINER_RUNNING");
}

#[test]
fn memory_is_reclaimed_before_the_limit_is_reached() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("");
    let pod = kubepods.pod(&mut node, Class::Burstable, json!({"ballast.dev/memory-async-reclaim": "50%"}));
    let container = pod.start(json!({"linux": {"resources": {"memory_limit_in_bytes": 200 * MI}}}));
    fill(&container, 150);
    let used = || container.cgroup_file("memory.current").parse::<u64>().unwrap();
    ask_until("less memory", || (used() <= 100 * MI).then_some(()));
    assert_eq!(container.state(), "CONTAINER_RUNNING");
}
