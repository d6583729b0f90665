//! What the node's configuration says for pods that say nothing, or say it in another system's words.

use ballast_integration::testbed::kubepods::{Class, Kubepods};
use ballast_integration::testbed::node::Node;
use serde_json::json;

use crate::assert_files;

#[test]
fn a_class_has_the_level_that_is_configured_unless_a_pod_says_otherwise() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[priority]\nbest_effort = 'offline'\nburstable = 1");
    let best_effort = kubepods.pod(&mut node, Class::BestEffort, json!({}));
    assert_files(&best_effort.start(json!({})), &[("cpu.idle", "1")]);
    let spoken = kubepods.pod(&mut node, Class::BestEffort, json!({"ballast.dev/priority": "0"}));
    assert_files(&spoken.start(json!({})), &[("cpu.idle", "0")]);
    let guaranteed = kubepods.pod(&mut node, Class::Guaranteed, json!({}));
    assert_files(&guaranteed.start(json!({})), &[("cpu.idle", "0")]);
}

#[test]
fn other_systems_words_count_where_that_is_configured() {
    let mut node = Node::take();
    let volcano = json!({"volcano.sh/qos-level": "BE"});
    let kubepods = Kubepods::make("[priority]\nhonour = ['volcano', 'caelus']");
    let pod = kubepods.pod(&mut node, Class::Burstable, volcano.clone());
    assert_files(&pod.start(json!({})), &[("cpu.idle", "1")]);
    let error =
        kubepods.try_pod(&mut node, Class::Burstable, json!({"volcano.sh/qos-level": "XL"})).unwrap_err();
    assert!(error.contains("volcano.sh/qos-level") && error.contains("XL"), "{error}");
    kubepods.configure("[priority]\nhonour = []");
    let deaf = kubepods.pod(&mut node, Class::Burstable, volcano);
    assert_files(&deaf.start(json!({})), &[("cpu.idle", "0")]);
}

#[test]
fn a_mistake_in_the_configuration_refuses_pods_by_its_name() {
    let mut node = Node::take();
    let kubepods = Kubepods::make("[priority]\nhonour = ['crane']");
    let error = kubepods.try_pod(&mut node, Class::Burstable, json!({})).unwrap_err();
    assert!(error.contains("crane") && error.contains("PodQOS"), "{error}");
}
