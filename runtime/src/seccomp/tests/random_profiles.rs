//! Random profiles and calls: program and reference agree.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::super::architecture::Architecture;
use super::super::table::Table;
use super::super::{Error, Machine, compile_for};
use super::{Call, interpreter, profile, reference};

/// Neighbours in number, calls of few architectures, multiplexed ones, the newest, and one that does not exist.
const NAMES: [&str; 22] = [
    "read",
    "open",
    "close",
    "stat",
    "ioctl",
    "getpid",
    "socket",
    "accept",
    "bind",
    "socketcall",
    "ipc",
    "semop",
    "shmat",
    "clone",
    "personality",
    "openat2",
    "pidfd_getfd",
    "mseal",
    "preadv2",
    "set_tls",
    "fstatat64",
    "made_up",
];
const ARCHITECTURES: [Architecture; 5] =
    [Architecture::X86_64, Architecture::X86, Architecture::X32, Architecture::Aarch64, Architecture::Arm];
const LISTED: [&str; 5] =
    ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"];
const VALUES: [u64; 14] = [
    0,
    1,
    2,
    5,
    21,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x5_0000_0005,
    1 << 63,
    u64::MAX,
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => select(&VALUES[..]), 1 => any::<u64>()]
}

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let errno = |largest: u32| proptest::option::of(0..=largest);
    prop_oneof![
        3 => errno(40).prop_map(|errno| ("SCMP_ACT_ERRNO", errno)),
        1 => errno(40).prop_map(|errno| ("SCMP_ACT_TRACE", errno)),
        4 => select(&["SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"][..])
            .prop_map(|action| (action, None)),
    ]
}

fn argument() -> impl Strategy<Value = Value> {
    let plain = select(
        &["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT"][..],
    );
    prop_oneof![
        3 => (0..4_usize, value(), plain)
            .prop_map(|(index, value, op)| json!({ "index": index, "value": value, "op": op })),
        1 => (0..4_usize, value(), value()).prop_map(|(index, mask, value)| {
            json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
        }),
    ]
}

fn entry() -> impl Strategy<Value = Value> {
    let rule = prop_oneof![1 => action(), 1 => Just(("SCMP_ACT_NOTIFY", None)), 8 => action()];
    let names = prop_oneof![
        3 => subsequence(&NAMES[..], 1..4).prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>()),
        1 => (1..4_usize).prop_map(|step| {
            include_str!("../syscalls.tbl")
                .lines()
                .filter_map(|line| line.split(' ').next())
                .step_by(step)
                .filter(|name| *name != "write")
                .map(str::to_owned)
                .collect()
        }),
    ];
    (names, rule, proptest::collection::vec(argument(), 0..4)).prop_map(|(names, (action, errno), args)| {
        json!({ "names": names, "action": action, "errnoRet": errno, "args": args })
    })
}

fn random_profile() -> impl Strategy<Value = Value> {
    (action(), subsequence(&LISTED[..], 0..=5).prop_shuffle(), proptest::collection::vec(entry(), 0..10))
        .prop_map(|((action, errno), architectures, syscalls)| {
            json!({
                "defaultAction": action, "defaultErrnoRet": errno, "architectures": architectures,
                "syscalls": syscalls, "listenerPath": "/run/agent.sock",
            })
        })
}

fn call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![
        6 => (select(&NAMES[..]), 0..3_u32).prop_map(|(name, off)| (Some(name), off)),
        2 => (0..600_u32).prop_map(|number| (None, number)),
        1 => any::<u32>().prop_map(|number| (None, number)),
        1 => select(&[0x3fff_ffff, 0x4000_0000, 0x000e_ffff, 0x000f_0005, u32::MAX][..]).prop_map(|number| (None, number)),
    ];
    (select(&ARCHITECTURES[..]), number, proptest::array::uniform6(value())).prop_map(
        |(architecture, (name, off), arguments)| {
            let number = match name
                .and_then(|name| Table::new().numbers(name))
                .and_then(|numbers| numbers.on(architecture))
            {
                Some(number) => (number + off).saturating_sub(1),
                None => off | architecture.first_number(),
            };
            Call { audit: architecture.audit(), number, arguments }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn program_and_reference_agree(
        value in random_profile(),
        machine in select(&[Machine::X86_64, Machine::Aarch64][..]),
        calls in proptest::collection::vec(call(), 60),
    ) {
        let profile = profile(value);
        let filter = match compile_for(&profile, machine) {
            // The reference has no answer to a contradiction.
            Err(Error::Conflict { .. }) => return Err(TestCaseError::reject("contradiction")),
            other => other.unwrap(),
        };
        let table = Table::new();
        for call in calls {
            let expected = reference::evaluate(&profile, machine, &table, call);
            prop_assert_eq!(interpreter::run(&filter.program, call).value, expected, "{:x?}", call);
        }
    }
}
