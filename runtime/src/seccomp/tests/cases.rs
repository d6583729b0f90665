//! Single rules, each with what the profile's author may expect.

use serde_json::{Value, json};

use super::super::architecture::Architecture;
use super::super::{Flags, Listener, Machine};
use super::{ALLOW, Call, Compiled, ENOSYS, ERRNO, KILL_PROCESS};

const HIT: u32 = ERRNO | 99;

/// Allows everything but `getsid` under these conditions.
fn getsid(args: Value) -> Compiled {
    Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": args }],
    }))
}

/// Whether an operator holds for a value of the argument.
type Holds = fn(u64) -> bool;

#[test]
fn operators_compare_all_64_bits() {
    const V: u64 = 0x0000_0005_8000_0000;
    let around = [0, V - 1, V, V + 1, V - (1 << 32), V + (1 << 32), 0x8000_0000, 0xffff_ffff, u64::MAX];
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_NE", |value| value != V),
        ("SCMP_CMP_LT", |value| value < V),
        ("SCMP_CMP_LE", |value| value <= V),
        ("SCMP_CMP_EQ", |value| value == V),
        ("SCMP_CMP_GE", |value| value >= V),
        ("SCMP_CMP_GT", |value| value > V),
    ];
    for index in 0..6 {
        for (operator, holds) in operators {
            let filter = getsid(json!([{ "index": index, "value": V, "op": operator }]));
            for value in around {
                let mut arguments = [0x1111_1111_1111_1111; 6];
                arguments[index] = value;
                let expected = if holds(value) { HIT } else { ALLOW };
                assert_eq!(filter.native("getsid", &arguments), expected, "{operator} {value:#x} at {index}");
            }
        }
    }
}

#[test]
fn masked_equality_looks_at_the_mask_alone() {
    let mask = 0xf000_0000_0000_000f_u64;
    let filter = getsid(json!([
        { "index": 2, "value": mask, "valueTwo": 0x1000_0000_0000_0ff1_u64, "op": "SCMP_CMP_MASKED_EQ" }
    ]));
    for (value, expected) in [
        (0x1000_0000_0000_0001, HIT),
        (0x1fff_ffff_ffff_fff1, HIT),
        (0x1000_0000_0000_0002, ALLOW),
        (0x2000_0000_0000_0001, ALLOW),
        (1, ALLOW),
    ] {
        assert_eq!(filter.native("getsid", &[0, 0, value]), expected, "{value:#x}");
    }
    let high = getsid(
        json!([{ "index": 0, "value": 1_u64 << 40, "valueTwo": 1_u64 << 40, "op": "SCMP_CMP_MASKED_EQ" }]),
    );
    assert_eq!(high.native("getsid", &[u64::MAX]), HIT);
    assert_eq!(high.native("getsid", &[0xff_ffff_ffff]), ALLOW);
}

#[test]
fn conditions_of_a_rule_must_all_hold_but_two_on_one_argument_stand_alone() {
    let both = getsid(json!([
        { "index": 0, "value": 5, "op": "SCMP_CMP_EQ" },
        { "index": 1, "value": 6, "op": "SCMP_CMP_GT" },
    ]));
    assert_eq!(both.native("getsid", &[5, 7]), HIT);
    assert_eq!(both.native("getsid", &[5, 6]), ALLOW);
    assert_eq!(both.native("getsid", &[4, 7]), ALLOW);
    let either = getsid(json!([
        { "index": 0, "value": 5, "op": "SCMP_CMP_EQ" },
        { "index": 0, "value": 8, "op": "SCMP_CMP_EQ" },
        { "index": 1, "value": 6, "op": "SCMP_CMP_GT" },
    ]));
    for (arguments, expected) in [([5, 0], HIT), ([8, 0], HIT), ([1, 7], HIT), ([1, 6], ALLOW)] {
        assert_eq!(either.native("getsid", &arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_32_bit_architecture_sees_low_words() {
    let filter = getsid(json!([{ "index": 0, "value": u64::MAX, "op": "SCMP_CMP_EQ" }]));
    assert_eq!(filter.result(Call::named(Architecture::X86, "getsid", &[0xffff_ffff])), HIT);
    assert_eq!(filter.native("getsid", &[0xffff_ffff]), ALLOW);
}

#[test]
fn an_unconditional_rule_beats_conditional_ones_and_the_first_of_two_wins() {
    let errno = |errno: u32| json!({ "names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let conditional = json!({
        "names": ["getsid"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }],
    });
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [conditional, errno(7), errno(8)],
    }));
    assert_eq!(filter.native("getsid", &[1]), ERRNO | 7);
    // The default action again, with its errno, is as if it were not there.
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 7, "syscalls": [errno(7), conditional],
    }));
    assert_eq!(filter.native("getsid", &[1]), 0x0003_0000);
    assert_eq!(filter.native("getsid", &[2]), ERRNO | 7);
}

#[test]
fn every_action_has_the_kernels_value() {
    for (action, errno, value) in [
        ("SCMP_ACT_KILL", None, 0),
        ("SCMP_ACT_KILL_THREAD", None, 0),
        ("SCMP_ACT_KILL_PROCESS", None, KILL_PROCESS),
        ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ("SCMP_ACT_ERRNO", None, ERRNO | 1),
        ("SCMP_ACT_ERRNO", Some(0), ERRNO),
        ("SCMP_ACT_ERRNO", Some(4095), ERRNO | 4095),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(0xffff), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", None, 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
    ] {
        let filter = Compiled::new(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/run/agent.sock",
            "syscalls": [{ "names": ["getsid"], "action": action, "errnoRet": errno }],
        }));
        assert_eq!(filter.native("getsid", &[]), value, "{action}");
        assert_eq!(filter.native("getpid", &[]), ALLOW);
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let with = |default: &str| {
        Compiled::new(json!({
            "defaultAction": default,
            "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [{ "names": ["openat2", "made_up", "read", "made_up"], "action": "SCMP_ACT_NOTIFY" }],
            "listenerPath": "/a",
        }))
    };
    for (default, value) in [
        ("SCMP_ACT_ERRNO", ERRNO | 1),
        ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
        ("SCMP_ACT_TRAP", 0x0003_0000),
    ] {
        let filter = with(default);
        assert_eq!(filter.0.unknown_syscalls, ["made_up"]);
        for architecture in [Architecture::X86_64, Architecture::X86] {
            assert_eq!(filter.result(Call::named(architecture, "close_range", &[])), value);
            assert_eq!(filter.result(Call::named(architecture, "pidfd_getfd", &[])), ENOSYS);
            assert_eq!(filter.result(Call::number(architecture, 999, &[])), ENOSYS);
        }
    }
    for (default, value) in
        [("SCMP_ACT_ALLOW", ALLOW), ("SCMP_ACT_LOG", 0x7ffc_0000), ("SCMP_ACT_TRACE", 0x7ff0_0001)]
    {
        assert_eq!(with(default).result(Call::number(Architecture::X86_64, 999, &[])), value);
    }
}

#[test]
fn x32_is_an_architecture_of_its_own() {
    let with = |architectures: Value| {
        Compiled::new(json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": architectures,
            "syscalls": [{ "names": ["ioctl", "read", "mseal"], "action": "SCMP_ACT_ALLOW" }],
        }))
    };
    let x32 = |number: u32| Call::number(Architecture::X32, 0x4000_0000 | number, &[]);
    let filter = with(json!(["SCMP_ARCH_X32"]));
    for (number, expected) in [(0, ALLOW), (514, ALLOW), (16, ERRNO | 1), (600, ENOSYS)] {
        assert_eq!(filter.result(x32(number)), expected, "{number}");
    }
    assert_eq!(filter.native("ioctl", &[]), ALLOW);
    assert_eq!(filter.result(Call::number(Architecture::X86_64, 514, &[])), ENOSYS);
    let filter = with(json!([]));
    assert_eq!(filter.result(x32(0)), KILL_PROCESS);
    assert_eq!(filter.result(Call::named(Architecture::X86, "read", &[])), KILL_PROCESS);
    assert_eq!(filter.native("read", &[]), ALLOW);
    // A tracer's way to say that there is no call.
    assert_eq!(filter.result(Call::number(Architecture::X86_64, u32::MAX, &[])), ERRNO | 1);
}

#[test]
fn x86_calls_are_found_behind_their_multiplexers() {
    let x86 = |name, arguments: &[u64]| Call::named(Architecture::X86, name, arguments);
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["accept", "shmat", "bind"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
        ],
    }));
    for (call, expected) in [
        (x86("socketcall", &[5]), ALLOW),
        (x86("socketcall", &[2]), ALLOW),
        (x86("bind", &[]), ALLOW),
        (x86("ipc", &[21]), ALLOW),
        (x86("ipc", &[0x1_0015]), ALLOW),
        (x86("ipc", &[22]), ERRNO | 1),
        (x86("socket", &[1]), ALLOW),
        // Its family is behind a pointer, so the condition cannot be seen to hold.
        (x86("socketcall", &[1]), ERRNO | 1),
    ] {
        assert_eq!(filter.result(call), expected, "{call:x?}");
    }
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_EQ" }] },
        ],
    }));
    assert_eq!(filter.result(x86("socketcall", &[1])), ERRNO | 1);
    assert_eq!(filter.result(x86("socketcall", &[2])), ALLOW);
}

#[test]
fn flags_and_listener_reach_the_caller() {
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": [
            "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ],
        "listenerPath": "/run/agent.sock",
        "listenerMetadata": "pod 7",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
    }));
    assert_eq!(filter.0.flags.bits(), 0b11_1111);
    assert!(filter.0.flags.contains(Flags::NEW_LISTENER));
    let listener = Listener { path: "/run/agent.sock".into(), metadata: Some("pod 7".into()) };
    assert_eq!(filter.0.notify, Some(listener));
    let quiet = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"], "listenerPath": "/run/agent.sock",
    }));
    assert_eq!((quiet.0.flags, quiet.0.notify), (Flags::TSYNC, None));
    assert_eq!(quiet.0.program.len(), 7);
}

#[test]
fn a_filter_survives_the_way_to_another_process() {
    let filter = super::super::compile(&super::default_profile::default_profile()).unwrap();
    let bytes = postcard::to_stdvec(&filter).unwrap();
    assert_eq!(postcard::from_bytes::<super::super::Filter>(&bytes).unwrap(), filter);
}

#[test]
fn every_architecture_of_the_specification_is_known_by_name() {
    let names = "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 \
                 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB";
    let names: Vec<String> = names.split(' ').map(|name| format!("SCMP_ARCH_{name}")).collect();
    let filter = Compiled::new(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": names,
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }],
    }));
    for architecture in [Architecture::X86_64, Architecture::X86, Architecture::X32] {
        assert_eq!(filter.result(Call::named(architecture, "read", &[])), ALLOW);
    }
    assert_eq!(filter.result(Call::named(Architecture::Arm, "read", &[])), KILL_PROCESS);
}

#[test]
fn a_filter_that_notifies_of_one_call_lets_all_others_through_on_every_architecture() {
    const NOTIFY: u32 = 0x7fc0_0000;
    for (machine, architectures) in [
        (Machine::X86_64, &[Architecture::X86_64, Architecture::X86, Architecture::X32][..]),
        (Machine::Aarch64, &[Architecture::Aarch64, Architecture::Arm]),
    ] {
        let filter = super::super::notify_of("sysinfo", Flags::NEW_LISTENER, machine).unwrap();
        assert!(filter.unknown_syscalls.is_empty() && filter.program.len() < 20, "{filter:?}");
        let result = |call| super::interpreter::run(&filter.program, call).value;
        for architecture in architectures {
            let called = Call::named(*architecture, "sysinfo", &[]);
            assert_eq!(result(called), NOTIFY, "{architecture:?}");
            for other in [called.number - 1, called.number + 1, architecture.first_number(), u32::MAX] {
                assert_eq!(
                    result(Call::number(*architecture, other, &[])),
                    ALLOW,
                    "{architecture:?} {other}"
                );
            }
        }
    }
}
