use super::*;
use crate::error::Kind;
use crate::memory_qos::Fraction;
use crate::memory_qos::node::KernelVersion;
use crate::path::CgroupPath;

const MI: u64 = 1 << 20;
const NODE: NodeFacts =
    NodeFacts { capacity: 16_384 * MI, page: 4096, kernel: KernelVersion { major: 6, minor: 1 } };

fn limits(json: &str) -> Limits {
    Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap()
}

fn wish(text: &str) -> Option<Wish> {
    let annotation = ("ballast.dev/memory-x".to_owned(), text.to_owned());
    Some(Wish { annotation, amount: Amount::parse(text).unwrap() })
}

fn tiered(factor: Option<&str>) -> Policy {
    let throttling_factor = factor.map(|factor| Fraction::factor(factor).unwrap());
    Policy { mode: Mode::Tiered, throttling_factor, ..Policy::default() }
}

fn qos(policy: Policy, path: &str, wishes: Wishes) -> MemoryQos {
    let place = PodPlace::of(&CgroupPath::parse(path).unwrap());
    MemoryQos { policy, wishes, place, oom_score_adj: None, priority: None }
}

const GUARANTEED: &str = "/kubepods/pod1/a";
const BURSTABLE: &str = "/kubepods/burstable/pod1/a";
const BEST_EFFORT: &str = "/kubepods/besteffort/pod1/a";

fn decide(qos: &MemoryQos, limits: &mut Limits) -> Decision {
    qos.decide(&NODE, limits, &Decision::default(), None).unwrap()
}

fn request(text: &str) -> Wishes {
    Wishes { request: wish(text), ..Wishes::default() }
}

#[test]
fn each_class_gets_its_tier() {
    let json = r#"{"memory": {"limit": 1048576000}}"#;
    for (path, wishes, min, low, high) in [
        (GUARANTEED, Wishes::default(), Some(1000 * MI), None, None),
        (BURSTABLE, request("500Mi"), None, Some(500 * MI), Some(800 * MI)),
        (BURSTABLE, request("800Mi"), None, Some(800 * MI), Some(920 * MI)),
        (BURSTABLE, request("1000Mi"), None, Some(1000 * MI), None),
        (BEST_EFFORT, Wishes::default(), None, None, Some(600 * MI)),
    ] {
        let mut limits = limits(json);
        let decision = decide(&qos(tiered(Some("0.6")), path, wishes), &mut limits);
        let at = |value: Option<u64>| value.map(Limit::At);
        assert_eq!((limits.memory.min, limits.memory.low), (at(min), at(low)), "{path}");
        assert_eq!(limits.memory.high, at(high), "{path}");
        assert!(decision.settings.iter().all(|setting| setting.source == Source::Policy));
    }
}

#[test]
fn without_a_limit_the_node_is_the_bound() {
    let mut unlimited = limits("{}");
    decide(&qos(tiered(Some("0.5")), BEST_EFFORT, Wishes::default()), &mut unlimited);
    assert_eq!(unlimited.memory.high, Some(Limit::At(8192 * MI)));
    let policy = Policy { node_allocatable: Some(1000 * MI), ..tiered(Some("0.5")) };
    let mut allocatable = limits("{}");
    decide(&qos(policy, BURSTABLE, request("500Mi")), &mut allocatable);
    assert_eq!(allocatable.memory.high, Some(Limit::At(750 * MI)));
}

#[test]
fn nothing_is_derived_for_pods_that_kubelet_did_not_place_or_of_unknown_request() {
    for (path, wishes) in [("/k8s.io/a", request("1Mi")), (BURSTABLE, Wishes::default())] {
        let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
        let before = limits.clone();
        assert_eq!(decide(&qos(tiered(Some("0.6")), path, wishes), &mut limits).settings, []);
        assert_eq!(limits, before, "{path}");
    }
}

#[test]
fn switches_turn_single_classes_off() {
    let off = Policy {
        protect_guaranteed: false,
        protect_burstable: false,
        throttle_burstable: false,
        throttle_best_effort: false,
        ..tiered(Some("0.6"))
    };
    for path in [GUARANTEED, BURSTABLE, BEST_EFFORT] {
        let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
        assert_eq!(decide(&qos(off.clone(), path, request("1Mi")), &mut limits).settings, [], "{path}");
    }
}

#[test]
fn an_estimate_protects_by_its_low_end_and_throttles_by_its_high_end() {
    let estimated =
        MemoryQos { oom_score_adj: Some(900), ..qos(tiered(Some("0.5")), BURSTABLE, Wishes::default()) };
    let node = NodeFacts { capacity: 1000 * MI, ..NODE };
    let mut limits = limits(r#"{"memory": {"limit": 314572800}}"#);
    let decision = estimated.decide(&node, &mut limits, &Decision::default(), None).unwrap();
    assert_eq!(decision.request.unwrap().source, RequestSource::Estimate);
    assert_eq!(limits.memory.low, Some(Limit::At(100 * MI)));
    // 101 MiB can have been requested: 101 + (300 - 101) / 2.
    assert_eq!(limits.memory.high, Some(Limit::At(200 * MI + MI / 2)));
}

#[test]
fn kubelet_comes_before_an_annotation_and_that_before_the_policy() {
    let wishes = Wishes { low: wish("10Mi"), high: wish("50%"), swap_max: wish("max"), ..request("20Mi") };
    let mut limits = limits(
        r#"{"memory": {"limit": 104857600, "swap": 104857600}, "unified": {"memory.low": "5242880"}}"#,
    );
    let decision = decide(&qos(tiered(Some("0.6")), BURSTABLE, wishes), &mut limits);
    let of = |knob| decision.setting(knob).map(|setting| (setting.value, setting.source));
    assert_eq!(of(Knob::Low), Some((Limit::At(5 * MI), Source::Kubelet)));
    assert_eq!(limits.memory.low, None, "the file by its own name is what is written");
    assert_eq!(of(Knob::High), Some((Limit::At(50 * MI), Source::Annotation)));
    assert_eq!(limits.memory.swap_max, Some(Limit::Unlimited));
}

#[test]
fn a_reservation_yields_to_an_annotation_and_not_to_the_policy() {
    let json = r#"{"memory": {"limit": 104857600, "reservation": 4096}}"#;
    let mut sent = limits(json);
    decide(&qos(tiered(None), BURSTABLE, request("20Mi")), &mut sent);
    assert_eq!(sent.memory.low, Some(Limit::At(4096)));
    let mut asked = limits(json);
    let wishes = Wishes { low: wish("8Ki"), ..Wishes::default() };
    decide(&qos(tiered(None), BURSTABLE, wishes), &mut asked);
    assert_eq!(asked.memory.low, Some(Limit::At(8192)));
}

#[test]
fn a_policy_that_is_off_lets_nobody_protect_or_throttle_and_says_so() {
    let policy = Policy { mode: Mode::Off, ..tiered(Some("0.6")) };
    let wishes = Wishes { min: wish("1Mi"), swap_max: wish("2Mi"), oom_group: Some(true), ..request("1Mi") };
    let mut limits = limits(
        r#"{"memory": {"limit": 104857600, "reservation": 4096},
            "unified": {"memory.high": "5242880", "memory.oom.group": "1"}}"#,
    );
    let decision = decide(&qos(policy, BURSTABLE, wishes), &mut limits);
    assert_eq!(
        decision.withheld,
        [(Knob::Min, Source::Annotation), (Knob::Low, Source::Kubelet), (Knob::High, Source::Kubelet)]
    );
    assert_eq!(decision.notices.len(), 3);
    assert_eq!(limits.memory.max, Some(Limit::At(100 * MI)));
    assert_eq!(limits.memory.swap_max, Some(Limit::At(2 * MI)));
    let names: Vec<&str> = limits.unified.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["memory.oom.group"], "how kubelet wants to kill is no protection");
    assert_eq!((limits.memory.min, limits.memory.low, limits.memory.high), (None, None, None));
}

#[test]
fn a_wish_that_cannot_be_met_is_refused_by_its_name() {
    let low = |text| Wishes { low: wish(text), ..Wishes::default() };
    for (wishes, json, reason) in [
        (low("50%"), "{}", "there is none"),
        (low("2Mi"), r#"{"memory": {"limit": 1048576}}"#, "more than the memory limit"),
        (request("2Mi"), r#"{"memory": {"limit": 1048576}}"#, "more than the memory limit"),
        (request("max"), "{}", "not a number of bytes"),
    ] {
        let error = qos(Policy::default(), BURSTABLE, wishes)
            .decide(&NODE, &mut limits(json), &Decision::default(), None)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        let text = error.to_string();
        assert!(text.contains("ballast.dev/memory-x") && text.contains(reason), "{text}");
    }
}

#[test]
fn old_kernels_refuse_what_is_derived_and_warn_of_what_is_asked_for() {
    let old = NodeFacts { kernel: KernelVersion { major: 5, minor: 8 }, ..NODE };
    let json = r#"{"memory": {"limit": 104857600}}"#;
    let derived = qos(tiered(Some("0.6")), BEST_EFFORT, Wishes::default());
    let error = derived.decide(&old, &mut limits(json), &Decision::default(), None).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains("Linux 5.8"), "{error}");
    let wishes = Wishes { high: wish("50Mi"), ..Wishes::default() };
    let mut asked = limits(json);
    let decision = qos(tiered(Some("0.6")), BEST_EFFORT, wishes)
        .decide(&old, &mut asked, &Decision::default(), None)
        .unwrap();
    assert_eq!(asked.memory.high, Some(Limit::At(50 * MI)));
    assert!(matches!(decision.notices[..], [Notice::OldKernel { source: Source::Annotation, .. }]));
    let at_least = NodeFacts { kernel: KernelVersion { major: 5, minor: 9 }, ..NODE };
    derived.decide(&at_least, &mut limits(json), &Decision::default(), None).unwrap();
}

#[test]
fn an_update_derives_anew_and_takes_back_what_no_longer_applies() {
    let qos = qos(tiered(Some("0.6")), BURSTABLE, request("500Mi"));
    let before = decide(&qos, &mut limits(r#"{"memory": {"limit": 1048576000}}"#));
    let mut grown = limits(r#"{"memory": {"limit": 2097152000}}"#);
    let grown_decision = qos.decide(&NODE, &mut grown, &before, Some(1000 * MI)).unwrap();
    assert_eq!(grown.memory.high, Some(Limit::At(1400 * MI)));
    // The limit stays as it is when only something else is updated.
    let mut other = limits(r#"{"cpu": {"shares": 100}}"#);
    qos.decide(&NODE, &mut other, &grown_decision, Some(2000 * MI)).unwrap();
    assert_eq!(other.memory.high, Some(Limit::At(1400 * MI)));
    let mut shrunk = limits(r#"{"memory": {"limit": 524288000}}"#);
    let shrunk_decision = qos.decide(&NODE, &mut shrunk, &grown_decision, Some(2000 * MI)).unwrap();
    assert_eq!(shrunk.memory.high, Some(Limit::Unlimited));
    assert_eq!(shrunk_decision.setting(Knob::High), None);
}

#[test]
fn what_kubelet_sent_once_is_not_overruled_by_an_update_that_does_not_mention_it() {
    let qos = qos(tiered(None), BURSTABLE, request("500Mi"));
    let before = decide(&qos, &mut limits(r#"{"unified": {"memory.low": "4096"}}"#));
    let mut update = limits(r#"{"cpu": {"shares": 100}}"#);
    let decision = qos.decide(&NODE, &mut update, &before, None).unwrap();
    assert_eq!(update.memory.low, None);
    assert_eq!(decision.setting(Knob::Low), before.setting(Knob::Low));
}

fn at(priority: Level, qos: MemoryQos) -> MemoryQos {
    MemoryQos { priority: Some(priority), ..qos }
}

#[test]
fn an_online_container_keeps_its_request_and_its_protection_goes_up_to_the_node() {
    let kubelet = qos(Policy::default(), BURSTABLE, request("500Mi"));
    assert!(!at(Level::ONLINE, kubelet.clone()).is_plain());
    let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
    let decision = decide(&at(Level::ONLINE, kubelet), &mut limits);
    assert_eq!((limits.memory.min, limits.memory.low), (None, Some(Limit::At(500 * MI))));
    assert_eq!(decision.setting(Knob::Low).unwrap().source, Source::Priority);
    assert!(decision.protects());
    assert_eq!(decision.reach(Reach::Pod), Reach::Node);
}

#[test]
fn what_the_policy_protects_more_strongly_is_not_protected_twice() {
    let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
    let decision = decide(&at(Level::ONLINE, qos(tiered(None), GUARANTEED, Wishes::default())), &mut limits);
    assert_eq!((limits.memory.min, limits.memory.low), (Some(Limit::At(1000 * MI)), None));
    assert_eq!(decision.reach(Reach::Pod), Reach::Pod);
}

#[test]
fn an_offline_container_is_promised_nothing_and_goes_as_a_whole() {
    for policy in [Policy::default(), tiered(Some("0.6"))] {
        let throttled = policy.mode == Mode::Tiered;
        let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
        let decision = decide(&at(Level::OFFLINE, qos(policy, BURSTABLE, request("500Mi"))), &mut limits);
        assert_eq!((limits.memory.min, limits.memory.low), (None, None));
        assert_eq!(limits.memory.oom_group, Some(true));
        // As if it had requested nothing.
        assert_eq!(limits.memory.high, throttled.then_some(Limit::At(600 * MI)));
        assert!(!decision.protects());
    }
}

#[test]
fn an_annotation_and_kubelet_come_before_a_priority() {
    let wishes = Wishes { low: wish("10Mi"), oom_group: Some(false), ..request("500Mi") };
    let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
    let online = at(Level::ONLINE, qos(Policy::default(), BURSTABLE, wishes.clone()));
    decide(&online, &mut limits);
    assert_eq!(limits.memory.low, Some(Limit::At(10 * MI)));
    decide(&at(Level::OFFLINE, qos(Policy::default(), BURSTABLE, wishes)), &mut limits);
    assert_eq!(limits.memory.oom_group, Some(false));
}

#[test]
fn a_policy_that_is_off_withholds_what_follows_from_a_priority_and_says_so() {
    let off = Policy { mode: Mode::Off, ..Policy::default() };
    let mut limits = limits(r#"{"memory": {"limit": 1048576000}}"#);
    let decision = decide(&at(Level::OFFLINE, qos(off, BURSTABLE, Wishes::default())), &mut limits);
    assert_eq!(limits.memory.oom_group, None);
    let expected = Notice::Withheld { knob: Knob::OomGroup, source: Source::Priority };
    assert_eq!(decision.notices(), [expected]);
}

#[test]
fn levels_between_the_ends_leave_memory_to_the_policy() {
    for number in 1..7 {
        let level = Level::new(number).unwrap();
        assert!(at(level, qos(Policy::default(), BURSTABLE, Wishes::default())).is_plain());
        let json = r#"{"memory": {"limit": 1048576000}}"#;
        let (mut with, mut without) = (limits(json), limits(json));
        let plain = qos(tiered(Some("0.6")), BURSTABLE, request("500Mi"));
        decide(&at(level, plain.clone()), &mut with);
        decide(&plain, &mut without);
        assert_eq!(with, without);
    }
}

#[test]
fn a_change_of_priority_takes_back_what_the_one_before_asked_for() {
    let json = r#"{"memory": {"limit": 1048576000}}"#;
    let plain = qos(Policy::default(), BURSTABLE, request("500Mi"));
    let mut first = limits(json);
    let before = decide(&at(Level::OFFLINE, plain.clone()), &mut first);
    let mut second = Limits::default();
    let online = at(Level::ONLINE, plain);
    online.decide(&NODE, &mut second, &before, Some(1000 * MI)).unwrap();
    assert_eq!(second.memory.oom_group, Some(false));
    assert_eq!(second.memory.low, Some(Limit::At(500 * MI)));
}
