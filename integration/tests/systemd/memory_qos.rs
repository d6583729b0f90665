//! Memory QoS where systemd owns every level: the scope, the pod's slice and those above.

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::systemd::{self, Slice, systemctl};
use serde_json::json;

use crate::fixture::property;

const CONFIGURATION: &str = "/etc/ballast/config.toml";

/// The node's configuration, gone when dropped.
struct Configuration;

impl Configuration {
    fn write(text: &str) -> Self {
        std::fs::create_dir_all("/etc/ballast").unwrap();
        std::fs::write(CONFIGURATION, text).unwrap();
        Self
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        std::fs::remove_file(CONFIGURATION).unwrap();
    }
}

#[test]
fn slices_protect_what_their_scopes_do_also_after_a_reload() {
    let mut node = Node::take();
    let _configuration = Configuration::write("[memory_qos]\npolicy = 'tiered'\nprotect_ancestors = 'node'");
    let names = ["kubepods.slice", "kubepods-burstable.slice", "kubepods-burstable-pod1.slice"];
    let slices = names.map(|name| Slice::start(name.to_owned()));
    let pod = node.pod(json!({
        "linux": {"cgroup_parent": slices[2].cgroup_parent()},
        "annotations": {"ballast.dev/memory-request": "40Mi"},
    }));
    let start = || pod.start(json!({"linux": {"resources": {"memory_limit_in_bytes": 64 << 20}}}));
    let (first, second) = (start(), start());
    let bytes = |mebibytes: u64| (mebibytes << 20).to_string();
    let in_files = || {
        slices.each_ref().map(|slice| {
            let path = format!("/sys/fs/cgroup{}/memory.low", slice.cgroup_parent());
            std::fs::read_to_string(path).unwrap().trim().to_owned()
        })
    };
    let assert_protected = |slice: &str, scopes: [&str; 2]| {
        for (container, low) in [&first, &second].into_iter().zip(scopes) {
            assert_eq!(container.cgroup_file("memory.low"), low);
            assert_eq!(property(container, "MemoryLow"), low);
        }
        assert_eq!(in_files(), [slice; 3]);
        assert_eq!(names.map(|name| systemd::property(name, "MemoryLow")), [slice; 3]);
    };
    assert_protected(&bytes(80), [&bytes(40), &bytes(40)]);
    systemctl(&["daemon-reload"]);
    assert_protected(&bytes(80), [&bytes(40), &bytes(40)]);
    run("ballast", &["qos", "reset", &first.id]).expect_success("reset");
    assert_protected(&bytes(40), ["0", &bytes(40)]);
    systemctl(&["daemon-reload"]);
    assert_protected(&bytes(40), ["0", &bytes(40)]);
    crictl(&["rm", "--force", &second.id]);
    assert_eq!(in_files(), ["0"; 3]);
    systemctl(&["daemon-reload"]);
    assert_eq!(in_files(), ["0"; 3]);
    drop((pod, slices));
}
