//! Whatever is asked for, updated and deleted, in any order and with crashes in between: no write is one that the kernel
//! refuses, and at the end the files are as if nobody had asked for anything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rustix::io::Errno;

use super::*;
use crate::limits::{DeviceNumber, Limit, Limits};
use crate::priority::files::Files;
use crate::priority::fit::{Sent, fit};
use crate::priority::model::{Crash, KERNELS};
use crate::priority::packet_mark::PacketMark;
use crate::priority::pod::{Asked, settle_pod};
use crate::priority::request::{
    DiskLimit, DiskTarget, DiskWeight, Microseconds, NetLimits, PageCacheLimit, Percent,
};

const CONTAINERS: [&str; 3] = ["kubepods/pod1/a", "kubepods/pod1/b", "kubepods/pod1/c"];

#[derive(Clone, Debug)]
enum Step {
    /// A container asks, creating it where it is not there.
    Ask(usize, Request),
    /// The pod's level changes; its containers ask again.
    Pod(Option<Level>),
    /// kubelet updates weight and quota.
    Update(usize, u64, Limit),
    /// kubelet resizes the pod, which the kernel refuses while it is idle.
    Resize(u64),
    /// A container makes a cgroup of its own.
    Nest(usize),
    Delete(usize),
}

#[derive(Clone, Debug)]
struct Move {
    step: Step,
    /// After how many writes the caller dies, and begins again.
    crash: Option<usize>,
}

fn any_level() -> impl Strategy<Value = Level> {
    select(&Level::ALL[..])
}

fn disk_limit() -> impl Strategy<Value = DiskLimit> {
    let device = |minor| DiskTarget::Device(DeviceNumber { major: 8, minor });
    let target = select(vec![DiskTarget::All, device(0), device(16), device(32)]);
    let rate = || option::of(0..5_u64);
    (target, rate(), rate(), rate(), rate()).prop_map(
        |(target, read_bytes, write_bytes, read_operations, write_operations)| DiskLimit {
            target,
            read_bytes,
            write_bytes,
            read_operations,
            write_operations,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let share = || (1..=100_u8).prop_map(|share| Percent::new(share).unwrap());
    let page_cache = prop_oneof![
        (4096..1_u64 << 22).prop_map(PageCacheLimit::Bytes),
        share().prop_map(PageCacheLimit::Share)
    ];
    let rate = || option::of(0..5_000_000_u64);
    let net =
        (rate(), rate()).prop_map(|(transmit_bits, receive_bits)| NetLimits { transmit_bits, receive_bits });
    (
        option::weighted(0.8, any_level()),
        option::weighted(0.3, (0..30_000_u64).prop_map(Microseconds)),
        proptest::bool::weighted(0.3),
        option::weighted(0.3, share()),
        option::weighted(0.3, page_cache),
        option::weighted(0.3, (1..=1000_u16).prop_map(|weight| DiskWeight::new(weight).unwrap())),
        option::weighted(0.3, disk_limit()),
        option::weighted(0.3, any_level()),
        option::weighted(0.3, net),
    )
        .prop_map(
            |(level, cpu_burst, smt_isolation, reclaim, page_cache, weight, disk, packets, net)| Request {
                level,
                cpu_burst,
                smt_isolation,
                memory_async_reclaim: reclaim,
                page_cache_limit: page_cache,
                disk_weight: weight,
                disk_limits: disk.into_iter().collect(),
                net_priority: packets,
                net_mark: packets.map(|_| PacketMark { value: 0x20, mask: 0xf0 }),
                net_limits: net,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let container = || 0..CONTAINERS.len();
    let quota = prop_oneof![Just(Limit::Unlimited), (1000..100_000_u64).prop_map(Limit::At)];
    prop_oneof![
        4 => (container(), request()).prop_map(|(container, request)| Step::Ask(container, request)),
        2 => option::of(any_level()).prop_map(Step::Pod),
        2 => (container(), 1..10_000_u64, quota).prop_map(|(container, weight, quota)| {
            Step::Update(container, weight, quota)
        }),
        1 => (1..10_000_u64).prop_map(Step::Resize),
        1 => container().prop_map(Step::Nest),
        2 => container().prop_map(Step::Delete),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (step(), option::weighted(0.3, 0..20_usize)).prop_map(|(step, crash)| Move { step, crash });
    vec(one, 1..14)
}

/// A node where requests are carried out, and one where the same happens without any.
struct Pair {
    asked: Model,
    plain: Model,
    requests: [Option<Request>; 3],
    pod_level: Option<Level>,
}

impl Pair {
    fn new(kernel: Kernel) -> Self {
        let [asked, plain] = [Model::new(kernel), Model::new(kernel)];
        let pair = Self { asked, plain, requests: [None, None, None], pod_level: None };
        pair.on_both(|model| model.create(POD));
        pair
    }

    fn on_both(&self, act: impl Fn(&Model)) {
        act(&self.asked);
        act(&self.plain);
    }

    fn take(&mut self, step: &Step, crash: Option<usize>) {
        match step {
            Step::Ask(index, request) => {
                if !self.asked.exists(CONTAINERS[*index]) {
                    self.on_both(|model| model.create(CONTAINERS[*index]));
                }
                self.requests[*index] = Some(request.clone());
                self.surviving(crash, |pair| pair.apply(*index));
            }
            Step::Pod(level) => {
                self.pod_level = *level;
                self.surviving(crash, Self::apply_all);
            }
            Step::Update(index, weight, quota) if self.asked.exists(CONTAINERS[*index]) => {
                self.surviving(crash, |pair| pair.update(*index, *weight, *quota));
                write_limits(&self.plain, CONTAINERS[*index], Some(*weight), *quota);
            }
            Step::Resize(weight) => {
                if self.asked.read(POD, "cpu.idle").is_ok_and(|idle| idle == "1") {
                    return;
                }
                self.on_both(|model| model.write(POD, "cpu.weight", &weight.to_string()).unwrap());
            }
            Step::Nest(index) => {
                let path = format!("{}/inner", CONTAINERS[*index]);
                if self.asked.exists(CONTAINERS[*index]) && !self.asked.exists(&path) {
                    self.on_both(|model| model.create(&path));
                }
            }
            Step::Delete(index) => {
                self.on_both(|model| model.remove(CONTAINERS[*index]));
                self.requests[*index] = None;
                self.surviving(crash, |pair| {
                    settle_pod(&pair.asked, POD, Asked::AsBefore, &mut Vec::new()).unwrap();
                });
            }
            Step::Update(..) => {}
        }
    }

    /// Acts; when that dies after some writes, acts again, as the next caller does.
    fn surviving(&self, crash: Option<usize>, act: impl Fn(&Self)) {
        self.asked.writes_left.set(crash);
        let outcome = catch_unwind(AssertUnwindSafe(|| act(self)));
        self.asked.writes_left.set(None);
        if let Err(cause) = outcome {
            if cause.downcast_ref::<Crash>().is_none() {
                std::panic::resume_unwind(cause);
            }
            act(self);
        }
    }

    fn apply(&self, index: usize) {
        let request = self.requests[index].clone().unwrap_or_default();
        ask(&self.asked, CONTAINERS[index], self.pod_level, &request);
    }

    fn apply_all(&self) {
        for (index, container) in CONTAINERS.iter().enumerate() {
            if self.asked.exists(container) {
                self.apply(index);
            }
        }
    }

    fn update(&self, index: usize, weight: u64, quota: Limit) {
        let mut limits = Limits::default();
        limits.cpu.weight = Some(weight);
        limits.cpu.quota = Some(quota);
        let sent = Sent::by(&limits);
        fit(&self.asked, CONTAINERS[index], &mut limits).unwrap();
        write_limits(&self.asked, CONTAINERS[index], limits.cpu.weight, quota);
        let request = self.requests[index].clone().unwrap_or_default();
        let target = Target { container: CONTAINERS[index], pod: Some(POD) };
        apply(&self.asked, target, self.pod_level, &request, Some(sent)).unwrap();
    }

    fn clear(&mut self) {
        self.pod_level = None;
        self.requests = [None, None, None];
        self.apply_all();
        settle_pod(&self.asked, POD, Asked::AsBefore, &mut Vec::new()).unwrap();
    }
}

/// As limits are written.
fn write_limits(model: &Model, container: &str, weight: Option<u64>, quota: Limit) {
    if let Some(weight) = weight {
        model.write(container, "cpu.weight", &weight.to_string()).unwrap();
    }
    model.write(container, "cpu.max", &quota.to_string()).unwrap();
}

/// Files that nobody but priorities writes here, without the burst, which stands against kubelet's quota when it cannot be taken back.
const REFUSABLE: [&str; 13] = [
    "cgroup.priority",
    "cpu.bvt_warp_ns",
    "cpu.idle",
    "cpu.offline",
    "cpu.qos_level",
    "io.bfq.weight",
    "io.max",
    "io.prio.class",
    "io.weight",
    "memory.async_ratio",
    "memory.priority",
    "memory.qos_level",
    "net_cls.limit",
];
const ERRNOS: [Errno; 4] = [Errno::INVAL, Errno::PERM, Errno::BUSY, Errno::RANGE];

/// A burst is only known to be too long by trying it.
fn is_expected(refusal: &(String, String, Errno)) -> bool {
    refusal.0 == "cpu.max.burst"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_ends_neutral_and_obeys_the_kernel(kernel in select(&KERNELS[..]), moves in moves()) {
        let mut pair = Pair::new(kernel);
        for Move { step, crash } in &moves {
            pair.take(step, *crash);
        }
        pair.clear();
        let refused: Vec<_> =
            pair.asked.refused.borrow().iter().filter(|refusal| !is_expected(refusal)).cloned().collect();
        prop_assert_eq!(refused, vec![]);
        prop_assert_eq!(pair.asked.snapshot(), pair.plain.snapshot());
    }

    #[test]
    fn what_a_kernel_refuses_for_a_while_is_taken_back_once_it_can_be(
        kernel in select(&KERNELS[..]),
        refused in subsequence(&REFUSABLE[..], 1..4), errno in select(&ERRNOS[..]),
        accepted in moves(), while_refused in moves(), after in moves(),
    ) {
        let mut pair = Pair::new(kernel);
        for (files, moves) in [(vec![], accepted), (refused, while_refused), (vec![], after)] {
            *pair.asked.broken.borrow_mut() = files.iter().map(|file| ((*file).to_owned(), errno)).collect();
            for Move { step, crash } in &moves {
                pair.take(step, *crash);
            }
        }
        pair.clear();
        prop_assert_eq!(pair.asked.snapshot(), pair.plain.snapshot());
    }

    #[test]
    fn a_containers_files_say_what_it_asks_for_whatever_came_before(
        kernel in select(&KERNELS[..]), moves in moves(), last in request(), pod in option::of(any_level()),
    ) {
        let mut pair = Pair::new(kernel);
        for Move { step, crash } in &moves {
            pair.take(step, *crash);
        }
        for index in 0..CONTAINERS.len() {
            pair.take(&Step::Delete(index), None);
        }
        pair.take(&Step::Pod(pod), None);
        pair.take(&Step::Ask(0, last.clone()), None);
        let mut fresh = Pair::new(kernel);
        let weight = pair.plain.value(POD, "cpu.weight");
        fresh.on_both(|model| model.write(POD, "cpu.weight", &weight).unwrap());
        fresh.take(&Step::Pod(pod), None);
        fresh.take(&Step::Ask(0, last), None);
        let files = |pair: &Pair| pair.asked.snapshot().into_iter().map(|(path, cgroup)| (path, cgroup.files));
        prop_assert!(files(&pair).eq(files(&fresh)), "{:?} {:?}", pair.asked.snapshot(), fresh.asked.snapshot());
    }
}
