//! The priority of packets, as the qdisc of the pod's interface counts them.

use std::process::Command;

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::{Value, json};

/// Packets that go out in one measurement.
const PACKETS: u64 = 20;

fn in_network_of(pod: &Pod, command: &[&str]) -> String {
    let pid = pod.inspect()["info"]["pid"].to_string();
    let output = Command::new("nsenter").args(["--net", "--target", &pid]).args(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packets that each band of the qdisc sent so far, the first band first.
fn bands(pod: &Pod) -> [u64; 3] {
    let classes: Value =
        serde_json::from_str(&in_network_of(pod, &["tc", "-json", "-s", "class", "show", "dev", "eth0"]))
            .unwrap();
    [0, 1, 2].map(|band: usize| classes[band]["stats"]["packets"].as_u64().unwrap())
}

/// The band that a container's packets take.
fn band_of(pod: &Pod, container: &Container) -> usize {
    let gateway = in_network_of(pod, &["ip", "-json", "route", "show", "default"]);
    let gateway: Value = serde_json::from_str(&gateway).unwrap();
    let gateway = gateway[0]["gateway"].as_str().unwrap().to_owned();
    let before = bands(pod);
    container.try_exec(&["ping", "-c", &PACKETS.to_string(), "-i", "0.01", "-W", "1", &gateway]);
    let after = bands(pod);
    let sent = [0, 1, 2].map(|band: usize| after[band] - before[band]);
    println!("{sent:?} packets by band");
    // What the kernel sends by itself has a band of its own choice.
    let band = sent.iter().position(|sent| *sent >= PACKETS);
    band.unwrap_or_else(|| panic!("{sent:?}"))
}

fn networked_pod(node: &mut Node, annotations: Value) -> Pod {
    let pod = node.pod(json!({"annotations": annotations}));
    let modules = Command::new("modprobe").arg("sch_prio").status().unwrap();
    assert!(modules.success(), "modprobe sch_prio: {modules}");
    in_network_of(&pod, &["tc", "qdisc", "replace", "dev", "eth0", "root", "handle", "1:", "prio"]);
    pod
}

#[test]
fn packets_take_the_band_of_their_priority() {
    let mut node = Node::take();
    let annotations = |level: &str| json!({"ballast.dev/net-priority": level});
    let band = |annotations: Value, node: &mut Node| {
        let pod = networked_pod(node, annotations);
        let container = pod.start(json!({}));
        band_of(&pod, &container)
    };
    assert_eq!(band(json!({}), &mut node), 1);
    assert_eq!(band(annotations("online"), &mut node), 0);
    assert_eq!(band(annotations("3"), &mut node), 1);
    assert_eq!(band(annotations("offline"), &mut node), 2);
}

#[test]
fn a_container_of_a_pod_can_have_packets_of_another_priority() {
    let mut node = Node::take();
    let pod = networked_pod(&mut node, json!({"ballast.dev/net-priority.c1": "offline"}));
    let container = pod.start(json!({"metadata": {"name": "c1", "attempt": 1}}));
    let other = pod.start(json!({"metadata": {"name": "c2", "attempt": 1}}));
    assert_eq!([band_of(&pod, &container), band_of(&pod, &other)], [2, 1]);
    let shown = run("ballast", &["priority", &pod.id]).expect_success("ballast priority");
    assert!(shown.contains("packet-priority"), "{shown}");
}
