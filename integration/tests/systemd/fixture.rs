//! Pods in a slice of their own, and their containers' units.

use std::sync::atomic::{AtomicU32, Ordering};

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::json::merge;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::systemd::{self, Slice};
use serde_json::{Value, json};

/// A pod in its slice. The pod goes first.
pub(crate) struct SlicedPod {
    pub(crate) pod: Pod,
    pub(crate) slice: Slice,
    _parent: Slice,
}

/// The slices that kubelet makes for a burstable pod.
fn slices() -> (Slice, Slice) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    assert!(systemd::is_running(), "this takes a node that systemd boots");
    let parent = Slice::start("testpods.slice".to_owned());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (Slice::start(format!("testpods-burstable-pod{number}.slice")), parent)
}

impl SlicedPod {
    /// A running pod; `differences` are laid on the default configuration.
    pub(crate) fn run(node: &mut Node, differences: Value) -> Self {
        let (slice, parent) = slices();
        let mut config = json!({"linux": {"cgroup_parent": slice.cgroup_parent()}});
        merge(&mut config, differences);
        Self { pod: node.pod(config), slice, _parent: parent }
    }
}

/// The unit of a container or sandbox, by CRI's identity.
pub(crate) fn unit_of(id: &str) -> String {
    format!("cri-containerd-{id}.scope")
}

/// A property of a container's unit.
#[track_caller]
pub(crate) fn property(container: &Container, name: &str) -> String {
    systemd::property(&unit_of(&container.id), name)
}

/// A running container with these resources.
#[track_caller]
pub(crate) fn with_resources(pod: &Pod, resources: &Value) -> Container {
    pod.start(json!({"linux": {"resources": resources}}))
}
