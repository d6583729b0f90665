use super::*;
use crate::error::Kind;
use crate::limits::{DeviceNumber, IoThrottle};

/// `linux.resources` as it stands in a bundle.
fn limits(json: &str) -> Result<Limits> {
    Limits::from_oci(&serde_json::from_str(json).unwrap())
}

#[test]
fn nothing_asked_is_nothing_limited() {
    assert_eq!(limits("{}").unwrap(), Limits::default());
    let zeros = r#"{
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimeRuntime": 0, "realtimePeriod": 0},
        "memory": {"limit": 0, "swap": 0, "kernel": 0, "kernelTCP": 0, "disableOOMKiller": false, "useHierarchy": true},
        "blockIO": {"weight": 0, "leafWeight": 0},
        "network": {"classID": 0, "priorities": []},
        "hugepageLimits": [], "unified": {}, "rdma": {}
    }"#;
    assert_eq!(limits(zeros).unwrap(), Limits::default());
}

#[test]
fn what_kubernetes_sends_is_translated() {
    let limits = limits(
        r#"{"cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1,3", "mems": "0"},
            "memory": {"limit": 268435456, "swap": 268435456},
            "pids": {"limit": 100},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
            "unified": {"memory.oom.group": "1", "memory.high": "200000000"}}"#,
    )
    .unwrap();
    assert_eq!(limits.cpu.weight, Some(100));
    assert_eq!((limits.cpu.quota, limits.cpu.period), (Some(Limit::At(50_000)), Some(100_000)));
    assert_eq!(limits.cpuset.cpus.as_deref(), Some("0-1,3"));
    assert_eq!(limits.memory.max, Some(Limit::At(256 << 20)));
    assert_eq!(limits.memory.swap_max, Some(Limit::At(0)));
    assert_eq!(limits.pids, Some(Limit::At(100)));
    assert_eq!(limits.hugetlb, [HugetlbLimit { page_size: "2MB".into(), max: Limit::At(0) }]);
    let names: Vec<&str> = limits.unified.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["memory.oom.group", "memory.high"]);
}

#[test]
fn swap_is_what_is_left_of_memory_and_swap_together() {
    let swap = |memory: &str| limits(&format!(r#"{{"memory": {memory}}}"#)).unwrap().memory.swap_max;
    assert_eq!(swap(r#"{"limit": 100, "swap": 150}"#), Some(Limit::At(50)));
    assert_eq!(swap(r#"{"limit": 100, "swap": -1}"#), Some(Limit::Unlimited));
    assert_eq!(swap(r#"{"limit": -1}"#), Some(Limit::Unlimited));
    assert_eq!(swap(r#"{"limit": -1, "swap": 70}"#), Some(Limit::At(70)));
    assert_eq!(swap(r#"{"limit": 100}"#), None);
}

#[test]
fn negative_values_lift_limits() {
    let limits = limits(r#"{"cpu": {"quota": -1}, "pids": {"limit": -1}, "memory": {"limit": -1}}"#).unwrap();
    assert_eq!(limits.cpu.quota, Some(Limit::Unlimited));
    assert_eq!(limits.pids, Some(Limit::Unlimited));
    assert_eq!(limits.memory.max, Some(Limit::Unlimited));
}

#[test]
fn what_cgroup_v2_does_not_have_is_refused_by_name() {
    for (json, name) in [
        (r#"{"memory": {"kernel": 1}}"#, "memory.kernel"),
        (r#"{"memory": {"kernelTCP": 1}}"#, "memory.kernelTCP"),
        (r#"{"memory": {"swappiness": 0}}"#, "memory.swappiness"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, "memory.disableOOMKiller"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, "cpu.realtimeRuntime"),
        (r#"{"cpu": {"realtimePeriod": 1}}"#, "cpu.realtimePeriod"),
        (r#"{"blockIO": {"leafWeight": 10}}"#, "blockIO.leafWeight"),
        (r#"{"network": {"classID": 1}}"#, "network.classID"),
        (r#"{"network": {"priorities": [{"name": "eth0", "priority": 1}]}}"#, "network.priorities"),
    ] {
        let error = limits(json).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{json}");
        assert!(error.to_string().contains(&format!("resource {name} ")), "{error}");
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_by_name() {
    for (json, name) in [
        (r#"{"memory": {"swap": 10}}"#, "memory.swap"),
        (r#"{"memory": {"limit": 100, "swap": 50}}"#, "memory.swap"),
        (r#"{"memory": {"limit": -2}}"#, "memory.limit"),
        (r#"{"cpu": {"idle": 2}}"#, "cpu.idle"),
        (r#"{"cpu": {"cpus": "0-"}}"#, "cpu.cpus"),
        (r#"{"cpu": {"mems": "a"}}"#, "cpu.mems"),
        (r#"{"blockIO": {"weight": 5}}"#, "blockIO.weight"),
        (r#"{"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}"#, "hugepageLimits.pageSize"),
        (r#"{"unified": {"memory/max": "1"}}"#, "unified"),
        (r#"{"rdma": {"mlx 5": {"hcaHandles": 1}}}"#, "rdma"),
    ] {
        let error = limits(json).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{json}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn the_throttles_of_a_device_make_one_line() {
    let limits = limits(
        r#"{"blockIO": {
            "weight": 500,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 100}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}, {"major": 8, "minor": 16, "rate": 7}]}}"#,
    )
    .unwrap();
    let device = |minor| DeviceNumber { major: 8, minor };
    assert_eq!(limits.io.weight, Some(500));
    assert_eq!(limits.io.device_weights, [(device(0), 100)]);
    assert_eq!(
        limits.io.throttles,
        [
            IoThrottle {
                device: device(0),
                rates: vec![("rbps", Limit::At(1000)), ("wiops", Limit::Unlimited)]
            },
            IoThrottle { device: device(16), rates: vec![("wiops", Limit::At(7))] },
        ]
    );
}
