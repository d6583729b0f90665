//! What a container gets when things are not as they should be, and when others have a say.

use rustix::io::Errno;

use super::*;
use crate::limits::{DeviceNumber, Limit, Limits};
use crate::priority::files::Files;
use crate::priority::fit::{Sent, fit};
use crate::priority::node_report::{Availability, NodeReport, Remark};
use crate::priority::observe::observe;
use crate::priority::pod::{Asked, settle_pod};
use crate::priority::request::{
    DiskLimit, DiskTarget, DiskWeight, Microseconds, NetLimits, PageCacheLimit, Percent,
};
use crate::priority::support::support;
use crate::priority::{Backend, Mechanism};

fn offline(model: &Model) -> Report {
    ask(model, BOX, Some(Level::OFFLINE), &at(7))
}

#[test]
fn a_switch_that_is_off_leads_to_mainline_and_is_named() {
    let model = node(Kernel::Rue);
    model.set_switch("/proc/sys/kernel/cpu_qos", Ok("0"));
    let report = offline(&model);
    assert_eq!(written(&report, Knob::Cpu), "mainline cpu.idle=1");
    assert_eq!(reasons(&report, Knob::Cpu), [Reason::GatedOff { gate: "kernel.cpu_qos".into() }]);
    // Memory has a switch of its own.
    assert_eq!(model.value(BOX, "cgroup.priority"), "7");
    assert_eq!(*model.refused.borrow(), []);
}

#[test]
fn a_switch_without_its_module_leads_to_mainline_and_is_named() {
    for errno in [Errno::INVAL, Errno::PERM, Errno::BUSY] {
        let model = node(Kernel::Rue);
        for switch in ["/proc/sys/kernel/cpu_qos", "/proc/sys/vm/memory_qos"] {
            model.set_switch(switch, Err(errno));
        }
        let report = offline(&model);
        assert_eq!(written(&report, Knob::Cpu), "mainline cpu.idle=1");
        assert_eq!(written(&report, Knob::Memory), "memory-qos oom-score-adj");
        let errno = errno.raw_os_error();
        assert_eq!(
            reasons(&report, Knob::Memory),
            [Reason::ModuleMissing { gate: "vm.memory_qos".into(), errno }]
        );
        assert_eq!(model.value(BOX, "cgroup.priority"), "0");
    }
}

#[test]
fn a_value_that_the_kernel_refuses_is_the_next_backends() {
    let model = node(Kernel::OpenEuler);
    model.broken.borrow_mut().insert("cpu.qos_level".into(), Errno::INVAL);
    let report = offline(&model);
    assert_eq!(written(&report, Knob::Cpu), "mainline cpu.idle=1");
    let refused = Reason::Refused {
        file: "cpu.qos_level".into(),
        value: "-1".into(),
        errno: Errno::INVAL.raw_os_error(),
    };
    assert_eq!(reasons(&report, Knob::Cpu), [refused]);
    assert_eq!(model.value(BOX, "memory.qos_level"), "-1", "each knob for itself");
}

#[test]
fn what_nobody_can_do_is_told_with_every_reason() {
    let mut model = node(Kernel::MainlineOld);
    model.disks.clear();
    let request = Request { disk_weight: Some(DiskWeight::new(500).unwrap()), ..Request::default() };
    let report = ask(&model, BOX, None, &request);
    assert_eq!(written(&report, Knob::DiskWeight), "unset");
    let missing = Reason::Missing { file: "io.prio.class".into() };
    assert_eq!(reasons(&report, Knob::DiskWeight), [Reason::NoWeighingDisk, missing]);
    assert_eq!(report.unset().count(), 1);
}

#[test]
fn a_container_above_its_pod_lifts_the_pod_and_no_neighbour() {
    let model = node(Kernel::Rue);
    offline(&model);
    assert_eq!(model.value(POD, "cgroup.priority"), "7");
    model.create(OTHER);
    assert_eq!(model.value(OTHER, "cgroup.priority"), "7", "what is made in a cgroup inherits");
    ask(&model, OTHER, Some(Level::OFFLINE), &at(2));
    let values = [POD, OTHER, BOX].map(|path| model.value(path, "cgroup.priority"));
    assert_eq!(values, ["2", "2", "7"]);
    model.remove(OTHER);
    settle_pod(&model, POD, Asked::AsBefore, &mut Vec::new()).unwrap();
    assert_eq!(model.value(POD, "cgroup.priority"), "7");
    assert_eq!(*model.refused.borrow(), []);
}

#[test]
fn what_the_kernel_gave_a_neighbour_on_the_way_is_put_right() {
    let model = node(Kernel::Anolis);
    offline(&model);
    model.create(OTHER);
    // The identity of a pod goes down to all of its containers.
    ask(&model, OTHER, Some(Level::OFFLINE), &at(0));
    let values = [POD, OTHER, BOX].map(|path| model.value(path, "cpu.bvt_warp_ns"));
    assert_eq!(values, ["1", "1", "-1"]);
}

#[test]
fn cgroups_that_a_container_made_go_with_it() {
    for (kernel, file) in [(Kernel::Rue, "cgroup.priority"), (Kernel::Bt, "cpu.offline")] {
        let model = node(kernel);
        model.create("kubepods/pod1/box/inner");
        model.create("kubepods/pod1/box/inner/most");
        let value = || model.value("kubepods/pod1/box/inner/most", file);
        offline(&model);
        assert_ne!(value(), "0");
        ask(&model, BOX, None, &Request::default());
        assert_eq!(value(), "0");
        assert_eq!(*model.refused.borrow(), []);
    }
}

#[test]
fn a_value_of_somebody_else_is_left_and_comes_back() {
    let model = node(Kernel::Mainline);
    model.write(BOX, "io.weight", "default 300").unwrap();
    offline(&model);
    assert_eq!(model.value(BOX, "io.weight"), "default 1");
    ask(&model, BOX, None, &Request::default());
    assert_eq!(model.value(BOX, "io.weight"), "default 300");
    offline(&model);
    model.write(BOX, "io.weight", "default 20").unwrap();
    ask(&model, BOX, None, &Request::default());
    assert_eq!(model.value(BOX, "io.weight"), "default 20");
}

#[test]
fn a_kernel_that_does_not_take_its_value_back_is_named() {
    let model = node(Kernel::OpenEuler);
    offline(&model);
    model.broken.borrow_mut().insert("cpu.qos_level".into(), Errno::INVAL);
    let report = ask(&model, BOX, None, &Request::default());
    let stuck: Vec<String> = report.stuck.iter().map(ToString::to_string).collect();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert!(stuck[0].contains("pod1/cpu.qos_level does not go back to \"0\""), "{stuck:?}");
    assert_eq!(model.value(BOX, "cpu.qos_level"), "-1", "as long as the pod's is");
    // It is tried again.
    model.broken.borrow_mut().clear();
    assert_eq!(ask(&model, BOX, None, &Request::default()).stuck, []);
    assert_eq!(model.value(BOX, "cpu.qos_level"), "0");
}

fn limits(json: &str) -> Limits {
    Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap()
}

#[test]
fn files_that_the_limits_name_are_theirs() {
    let model = node(Kernel::Mainline);
    let limits = limits(
        r#"{"cpu": {"idle": 0, "burst": 5}, "blockIO": {"weight": 50, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]},
            "unified": {"memory.high": "4096"}}"#,
    );
    let disk_limit = DiskLimit {
        target: DiskTarget::All,
        read_bytes: Some(1),
        write_bytes: None,
        read_operations: None,
        write_operations: None,
    };
    let request = Request { cpu_burst: Some(Microseconds(0)), disk_limits: vec![disk_limit], ..at(7) };
    let target = Target { container: BOX, pod: Some(POD) };
    let report = apply(&model, target, None, &request, Some(Sent::by(&limits))).unwrap();
    for (knob, file) in [
        (Knob::Cpu, "cpu.weight"),
        (Knob::CpuBurst, "cpu.max.burst"),
        (Knob::DiskLimits, "io.max 8:0"),
        (Knob::DiskWeight, "io.bfq.weight"),
    ] {
        assert_eq!(written(&report, knob), "unset", "{knob}");
        assert!(reasons(&report, knob).contains(&Reason::Taken { file: file.into() }), "{knob}");
    }
    // And later, when nobody tells of limits.
    let again = ask(&model, BOX, None, &request);
    assert_eq!(again, report);
}

#[test]
fn a_vendors_file_that_the_limits_name_is_not_got_round_with_mainlines() {
    let model = node(Kernel::Bt);
    let sent = Sent::by(&limits(r#"{"unified": {"cpu.offline": "0"}}"#));
    let target = Target { container: BOX, pod: None };
    let report = apply(&model, target, None, &at(7), Some(sent)).unwrap();
    assert_eq!(reasons(&report, Knob::Cpu), [Reason::Taken { file: "cpu.offline".into() }]);
    assert_eq!(model.value(BOX, "cpu.idle"), "0");
}

#[test]
fn an_update_of_the_weight_is_kept_from_an_idle_cgroup_and_counts_afterwards() {
    let model = node(Kernel::Mainline);
    offline(&model);
    let asked = limits(r#"{"cpu": {"shares": 2048, "quota": 50000}, "memory": {"limit": 4096}}"#);
    let mut update = asked.clone();
    fit(&model, BOX, &mut update).unwrap();
    assert_eq!(update.cpu.weight, None);
    assert_eq!(update.cpu.quota, Some(Limit::At(50_000)));
    let target = Target { container: BOX, pod: Some(POD) };
    apply(&model, target, Some(Level::OFFLINE), &at(7), Some(Sent::by(&asked))).unwrap();
    assert_eq!(model.value(BOX, "cpu.idle"), "1");
    ask(&model, BOX, Some(Level::OFFLINE), &at(1));
    assert_eq!(model.value(BOX, "cpu.weight"), "87", "half of the 174 for 2048 shares");
    ask(&model, BOX, None, &Request::default());
    assert_eq!(model.value(BOX, "cpu.weight"), "174");
    assert_eq!(*model.refused.borrow(), []);
}

#[test]
fn an_update_that_is_refused_changes_nothing() {
    let model = node(Kernel::Mainline);
    offline(&model);
    let mut update = limits(r#"{"cpu": {"shares": 2048}}"#);
    fit(&model, BOX, &mut update).unwrap();
    ask(&model, BOX, None, &Request::default());
    assert_eq!(model.value(BOX, "cpu.weight"), "100");
}

#[test]
fn limits_of_a_container_without_a_priority_are_not_touched() {
    let model = node(Kernel::Mainline);
    let mut update = limits(r#"{"cpu": {"shares": 2048}}"#);
    let before = update.clone();
    fit(&model, BOX, &mut update).unwrap();
    assert_eq!(update, before);
    assert_eq!(model.writes.get(), 0);
}

#[test]
fn a_burst_gives_way_to_a_new_quota() {
    let model = node(Kernel::Mainline);
    let request = Request { cpu_burst: Some(Microseconds(40_000)), ..Request::default() };
    assert_eq!(reasons(&ask(&model, BOX, None, &request), Knob::CpuBurst), [Reason::NoCpuQuota]);
    model.write(BOX, "cpu.max", "50000").unwrap();
    assert_eq!(written(&ask(&model, BOX, None, &request), Knob::CpuBurst), "mainline cpu.max.burst=40000");
    let mut update = limits(r#"{"cpu": {"quota": 20000}}"#);
    fit(&model, BOX, &mut update).unwrap();
    model.write(BOX, "cpu.max", "20000").unwrap();
    let report = ask(&model, BOX, None, &request);
    assert!(matches!(reasons(&report, Knob::CpuBurst)[..], [Reason::Refused { .. }]), "{report:?}");
    assert_eq!(model.value(BOX, "cpu.max.burst"), "0");
}

fn share(hundredths: u8) -> Percent {
    Percent::new(hundredths).unwrap()
}

/// Everything but levels.
fn finer() -> Request {
    Request {
        smt_isolation: true,
        memory_async_reclaim: Some(share(90)),
        page_cache_limit: Some(PageCacheLimit::Share(share(50))),
        net_priority: Some(Level::ONLINE),
        net_limits: Some(NetLimits { transmit_bits: Some(25_500_000), receive_bits: None }),
        ..at(0)
    }
}

#[test]
fn finer_knobs_have_each_kernels_files() {
    let cases = [
        (
            Kernel::Rue,
            [
                "tencentos cpu.ht_sensi_type=1",
                "tencentos memory.async_ratio=90",
                "tencentos memory.pagecache.max_ratio=50",
                "tencentos cgroup.priority=0",
                "tencentos net_cls.limit=tx_bps=25 rx_bps=0",
            ],
        ),
        (
            Kernel::Anolis,
            [
                "anolis cpu.bvt_warp_ns=2",
                "anolis memory.wmark_ratio=90",
                "anolis memory.pagecache_limit.size=524288 memory.pagecache_limit.enable=1",
                "packet-priority",
                "packet-pacing",
            ],
        ),
        (
            Kernel::OpenEuler,
            [
                "core-scheduling",
                "openeuler memory.high_async_ratio=90",
                "user-space-reclaim",
                "packet-priority",
                "packet-pacing",
            ],
        ),
        (
            Kernel::Mainline,
            [
                "core-scheduling",
                "user-space-reclaim",
                "user-space-reclaim",
                "packet-priority",
                "packet-pacing",
            ],
        ),
    ];
    for (kernel, expected) in cases {
        let model = node(kernel);
        model.write(BOX, "memory.max", "1048576").unwrap();
        model.write(BOX, "memory.high", "1048576").unwrap();
        let report = ask(&model, BOX, None, &finer());
        let knobs = [
            Knob::CpuSmtIsolation,
            Knob::MemoryAsyncReclaim,
            Knob::PageCacheLimit,
            Knob::NetPriority,
            Knob::NetLimits,
        ];
        assert_eq!(knobs.map(|knob| written(&report, knob)), expected, "{kernel:?}");
        assert_eq!(*model.refused.borrow(), [], "{kernel:?}");
    }
}

#[test]
fn what_cannot_be_expressed_is_not_rounded_into_something_else() {
    let model = node(Kernel::Rue);
    let request = Request {
        page_cache_limit: Some(PageCacheLimit::Share(share(4))),
        net_limits: Some(NetLimits { transmit_bits: Some(999_999), receive_bits: None }),
        net_priority: Some(Level::OFFLINE),
        ..at(0)
    };
    let report = ask(&model, BOX, None, &request);
    assert_eq!(written(&report, Knob::PageCacheLimit), "user-space-reclaim");
    assert_eq!(written(&report, Knob::NetLimits), "packet-pacing");
    let not_separate = Reason::NotSeparate { file: "cgroup.priority".into() };
    assert_eq!(reasons(&report, Knob::NetPriority), [not_separate]);
}

#[test]
fn bounds_of_disks_are_set_for_each_and_taken_back() {
    let model = node(Kernel::Mainline);
    let limit = |target, read_bytes| DiskLimit {
        target,
        read_bytes,
        write_bytes: Some(0),
        read_operations: None,
        write_operations: None,
    };
    let one = DiskTarget::Device(DeviceNumber { major: 8, minor: 16 });
    let request = Request {
        disk_limits: vec![limit(DiskTarget::All, Some(1 << 20)), limit(one, Some(5))],
        ..Request::default()
    };
    ask(&model, BOX, None, &request);
    assert_eq!(
        model.value(BOX, "io.max"),
        "8:0 rbps=1048576 wbps=max riops=max wiops=max\n8:16 rbps=5 wbps=max riops=max wiops=max"
    );
    ask(&model, BOX, None, &Request::default());
    assert_eq!(model.value(BOX, "io.max"), "");
}

#[test]
fn asking_again_for_the_same_writes_nothing() {
    for kernel in crate::priority::model::KERNELS {
        let model = node(kernel);
        let report = offline(&model);
        let writes = model.writes.get();
        assert_eq!(offline(&model), report, "{kernel:?}");
        assert_eq!(model.writes.get(), writes, "{kernel:?}");
    }
}

#[test]
fn a_container_outside_of_pods_has_its_own_files_only() {
    let model = Model::new(Kernel::Rue);
    model.create("box");
    let target = Target { container: "box", pod: None };
    let report = apply(&model, target, None, &at(7), None).unwrap();
    assert_eq!(model.value("box", "cgroup.priority"), "7");
    assert_eq!(model.value("kubepods", "cgroup.priority"), "0");
    assert!(matches!(&entry(&report, Knob::Cpu).outcome, Outcome::Written { files, .. } if files.len() == 1));
}

#[test]
fn a_container_that_is_gone_is_not_found() {
    let model = node(Kernel::Mainline);
    model.remove(BOX);
    let target = Target { container: BOX, pod: Some(POD) };
    let error = apply(&model, target, None, &at(7), None).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::NotFound);
}

#[test]
fn what_was_done_can_be_seen_from_outside() {
    let model = node(Kernel::Rue);
    let target = Target { container: BOX, pod: Some(POD) };
    assert_eq!(observe(&model, target).unwrap(), None);
    let report = offline(&model);
    model.write(BOX, "memory.priority_wmark_ratio", "10").unwrap();
    let observed = observe(&model, target).unwrap().unwrap();
    assert_eq!((observed.request, observed.pod_level), (at(7), Some(Level::OFFLINE)));
    assert_eq!(observed.report, report);
    let paths: Vec<&str> = observed.files.iter().map(|file| file.path.to_str().unwrap()).collect();
    assert!(paths.contains(&"/sys/fs/cgroup/kubepods/pod1/cgroup.priority"), "{paths:?}");
    let changed: Vec<_> = observed.files.iter().filter(|file| file.written.is_some()).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].value.as_deref(), Some("10"));
    assert_eq!(changed[0].written.as_deref(), Some("50"));
}

fn availability(report: &NodeReport, backend: Backend, knob: Knob) -> Vec<Availability> {
    let backend = report.backends.iter().find(|candidate| candidate.backend == backend).unwrap();
    let knobs = backend.knobs.iter().filter(|candidate| candidate.knob == knob);
    knobs.map(|knob| knob.availability.clone()).collect()
}

#[test]
fn a_nodes_report_has_every_backend_and_what_is_done_instead() {
    let model = node(Kernel::Rue);
    model.set_switch("/proc/sys/kernel/cpu_qos", Ok("0"));
    let report = support(&model).unwrap();
    assert_eq!(report.backends.len(), Backend::ALL.len());
    assert_eq!(report.cgroup.to_str(), Some("/sys/fs/cgroup/kubepods"));
    let off = Availability::Absent { why: Reason::GatedOff { gate: "kernel.cpu_qos".into() } };
    let missing = Availability::Absent { why: Reason::Missing { file: "cpu.offline".into() } };
    assert_eq!(availability(&report, Backend::TencentOs, Knob::Cpu), [off, missing]);
    assert_eq!(availability(&report, Backend::TencentOs, Knob::Memory), [Availability::Present]);
    let treatment = |knob| report.treatments.iter().find(|treatment| treatment.knob == knob).unwrap();
    assert_eq!(treatment(Knob::Cpu).backend, Some(Backend::Mainline));
    assert_eq!(treatment(Knob::Memory).backend, Some(Backend::TencentOs));
    assert_eq!(treatment(Knob::CpuSmtIsolation).mechanisms, [Mechanism::CoreScheduling]);
    assert_eq!(report.treatments.len(), Knob::ALL.len());
    assert_eq!(model.writes.get(), 0);
}

#[test]
fn a_tencentos_node_with_cgroup_v1_is_named() {
    let model = node(Kernel::Mainline);
    assert_eq!(support(&model).unwrap().remarks, []);
    model.set_switch("/sys/fs/cgroup/cpu/cpu.shares", Ok("1024"));
    assert_eq!(support(&model).unwrap().remarks, []);
    model.set_switch("/proc/bt_stat", Ok("cpu 0"));
    let remarks = support(&model).unwrap().remarks;
    assert_eq!(remarks, [Remark::TencentOsCgroupV1]);
    assert!(remarks[0].to_string().contains("TencentOS 4.14 node with cgroup v1 hierarchies: not supported"));
}
