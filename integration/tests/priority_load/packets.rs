//! The priority of packets and their mark, as qdiscs count them: of the pod's interface, and of the node's below it.

use std::process::Command;

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::kubepods::Kubepods;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::{Value, json};

/// Packets that go out in one measurement.
const PACKETS: u64 = 20;

/// Levels from 0x10 to 0x80; what kube-proxy uses, 0x4000 and 0x8000, is outside of the mask.
const MARKS: &str = "[priority]\nnet_mark = '0x10/0xf0'";

#[track_caller]
fn on_node(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn in_network_of(pod: &Pod, command: &[&str]) -> String {
    let pid = pod.inspect()["info"]["pid"].to_string();
    on_node(&[&["nsenter", "--net", "--target", &pid], command].concat())
}

/// The packets that each band of a qdisc sent, the first band first, by what `tc` prints.
fn bands(classes: &str) -> [u64; 3] {
    let classes: Value = serde_json::from_str(classes).unwrap();
    [0, 1, 2].map(|band: usize| classes[band]["stats"]["packets"].as_u64().unwrap())
}

fn classes_of(device: &str) -> [&str; 7] {
    ["tc", "-json", "-s", "class", "show", "dev", device]
}

fn gateway(pod: &Pod) -> String {
    let routes = in_network_of(pod, &["ip", "-json", "route", "show", "default"]);
    let routes: Value = serde_json::from_str(&routes).unwrap();
    routes[0]["gateway"].as_str().unwrap().to_owned()
}

/// The band that most packets take meanwhile of the qdisc that counts.
fn band_while(count: impl Fn() -> [u64; 3], send: impl Fn()) -> usize {
    let before = count();
    send();
    let after = count();
    let sent = [0, 1, 2].map(|band: usize| after[band] - before[band]);
    println!("{sent:?} packets by band");
    // What the kernel sends by itself has a band of its own choice.
    let band = sent.iter().position(|sent| *sent >= PACKETS);
    band.unwrap_or_else(|| panic!("{sent:?}"))
}

fn ping(container: &Container, address: &str) {
    container.try_exec(&["ping", "-c", &PACKETS.to_string(), "-i", "0.01", "-W", "1", address]);
}

/// The band that a container's packets take of its pod's interface.
fn band_of(pod: &Pod, container: &Container) -> usize {
    let gateway = gateway(pod);
    band_while(|| bands(&in_network_of(pod, &classes_of("eth0"))), || ping(container, &gateway))
}

fn networked_pod(node: &mut Node, annotations: Value) -> Pod {
    let pod = node.pod(json!({"annotations": annotations}));
    on_node(&["modprobe", "-a", "sch_prio", "cls_fw"]);
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

/// `tc` puts packets with this mark into a class of the qdisc.
fn filter<'a>(device: &'a str, mark: &'a str, class: &'a str) -> Vec<&'a str> {
    let place = ["tc", "filter", "add", "dev", device, "parent", "1:", "protocol", "ip", "prio", "1"];
    [&place[..], &["handle", mark, "fw", "classid", class]].concat()
}

#[test]
fn a_filter_finds_packets_by_the_mark_of_their_level() {
    let mut node = Node::take();
    let _configured = Kubepods::make(MARKS);
    let pod = networked_pod(
        &mut node,
        json!({"ballast.dev/net-priority.low": "offline", "ballast.dev/net-priority.high": "online"}),
    );
    let named = |name: &str| pod.start(json!({"metadata": {"name": name, "attempt": 1}}));
    let (low, high, plain) = (named("low"), named("high"), named("plain"));
    // The other way round than by their priorities.
    for (mark, class) in [("0x80/0xf0", "1:1"), ("0x10/0xf0", "1:3")] {
        in_network_of(&pod, &filter("eth0", mark, class));
    }
    assert_eq!([&low, &high, &plain].map(|container| band_of(&pod, container)), [0, 2, 1]);
    let shown = run("ballast", &["priority", &pod.id]).expect_success("ballast priority");
    assert!(shown.contains("mark 0x80/0xf0"), "{shown}");
}

/// Sends packets that their socket gave the mark 0x4021, from a process in the container's cgroup.
const SEND_MARKED: &str = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or die $!; \
    setsockopt(S, SOL_SOCKET, 36, pack('i', 0x4021)) or die $!; \
    for (1..$ARGV[1]) { send(S, 'x', 0, pack_sockaddr_in(9, inet_aton($ARGV[0]))) or die $! }";

/// The band that a container's packets take that have the mark 0x4021 already.
fn band_of_marked(pod: &Pod, container: &Container) -> usize {
    let gateway = gateway(pod);
    let procs = format!("{}/cgroup.procs", container.process().cgroup());
    let enter = "echo $$ > \"$0\" && exec \"$@\"";
    let send = ["perl", "-e", SEND_MARKED, &gateway, &PACKETS.to_string()];
    let entered = [&["sh", "-c", enter, procs.as_str()], &send[..]].concat();
    band_while(
        || bands(&in_network_of(pod, &classes_of("eth0"))),
        || {
            in_network_of(pod, &entered);
        },
    )
}

#[test]
fn the_bits_outside_of_the_mask_stay_as_somebody_else_set_them() {
    let mut node = Node::take();
    let _configured = Kubepods::make(MARKS);
    let pod = networked_pod(&mut node, json!({"ballast.dev/net-priority.low": "offline"}));
    let named = |name: &str| pod.start(json!({"metadata": {"name": name, "attempt": 1}}));
    let (low, plain) = (named("low"), named("plain"));
    for (mark, class) in [("0x4081/0xffffffff", "1:1"), ("0x4021/0xffffffff", "1:3")] {
        in_network_of(&pod, &filter("eth0", mark, class));
    }
    assert_eq!([band_of_marked(&pod, &low), band_of_marked(&pod, &plain)], [0, 2]);
}

#[test]
fn packets_keep_the_marks_that_they_have_where_none_are_configured() {
    let mut node = Node::take();
    let pod = networked_pod(&mut node, json!({"ballast.dev/net-priority": "offline"}));
    let container = pod.start(json!({}));
    in_network_of(&pod, &filter("eth0", "0x4021/0xffffffff", "1:1"));
    assert_eq!(band_of_marked(&pod, &container), 0);
}

/// A device of the node with a qdisc that counts by mark; gone when dropped.
struct NodeDevice;

impl NodeDevice {
    const NAME: &str = "below";

    fn make() -> Self {
        on_node(&["modprobe", "-a", "dummy", "macvlan", "ipvlan", "sch_prio", "cls_fw"]);
        on_node(&["ip", "link", "add", Self::NAME, "type", "dummy"]);
        let device = Self;
        on_node(&["ip", "link", "set", Self::NAME, "up"]);
        on_node(&["tc", "qdisc", "replace", "dev", Self::NAME, "root", "handle", "1:", "prio"]);
        device
    }
}

impl Drop for NodeDevice {
    fn drop(&mut self) {
        on_node(&["ip", "link", "delete", Self::NAME]);
    }
}

/// Gives a device of a pod's network an address, and the way to 10.99.0.2.
fn address(pod: &Pod, device: &str) {
    in_network_of(pod, &["ip", "address", "add", "10.99.0.1/24", "dev", device]);
    in_network_of(pod, &["ip", "link", "set", device, "up"]);
    let neighbour = ["ip", "neighbour", "replace", "10.99.0.2", "lladdr", "02:00:00:00:00:02", "dev", device];
    in_network_of(pod, &neighbour);
}

/// Gives a pod a device above the node's.
fn address_above(pod: &Pod, kind: &[&str]) {
    let pid = pod.inspect()["info"]["pid"].to_string();
    let link = ["ip", "link", "add", "above", "link", NodeDevice::NAME, "netns", &pid, "type"];
    on_node(&[&link[..], kind].concat());
    address(pod, "above");
}

/// The bands that an offline container's packets take of the node's device, by their priority and by a filter for their mark.
fn bands_below(pod: &Pod) -> [usize; 2] {
    let container = pod.start(json!({}));
    let count = || bands(&on_node(&classes_of(NodeDevice::NAME)));
    let band = || band_while(count, || ping(&container, "10.99.0.2"));
    let by_priority = band();
    on_node(&filter(NodeDevice::NAME, "0x80/0xf0", "1:1"));
    let by_mark = band();
    on_node(&["tc", "filter", "delete", "dev", NodeDevice::NAME, "parent", "1:"]);
    [by_priority, by_mark]
}

#[test]
fn a_device_of_the_node_sees_what_the_pods_network_lets_through() {
    let mut node = Node::take();
    let _configured = Kubepods::make(MARKS);
    let _device = NodeDevice::make();
    let annotations = json!({"ballast.dev/net-priority": "offline"});
    let mut above = |kind: &[&str]| {
        let pod = node.pod(json!({"annotations": annotations}));
        address_above(&pod, kind);
        bands_below(&pod)
    };
    assert_eq!(above(&["macvlan", "mode", "bridge"]), [2, 0]);
    assert_eq!(above(&["ipvlan", "mode", "l2"]), [2, 0]);
    assert_eq!(above(&["ipvlan", "mode", "l3"]), [2, 2]);
    let host_network = json!({"security_context": {"namespace_options": {"network": 2}}});
    let pod = node.pod(json!({"annotations": annotations, "hostname": "", "linux": host_network}));
    address(&pod, NodeDevice::NAME);
    assert_eq!(bands_below(&pod), [2, 0]);
}
