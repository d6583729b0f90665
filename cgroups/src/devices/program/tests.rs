use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use super::*;
use crate::bpf::code;

const READ: u32 = 2;
const WRITE: u32 = 4;
const MAKE_NODE: u32 = 1;
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// A request as the kernel makes it.
#[derive(Clone, Copy, Debug)]
struct Request {
    kind: u32,
    major: u32,
    minor: u32,
    access: u32,
}

/// Runs a program as the kernel would, and fails where its verifier would refuse it.
fn run(program: &[BpfInstruction], request: Request) -> bool {
    let mut registers: [Option<u64>; 11] = [None; 11];
    let mut next = 0_usize;
    for _ in 0..=program.len() {
        let instruction = program[next];
        next += 1;
        let to = usize::from(instruction.registers & 0xf);
        let from = usize::from(instruction.registers >> 4);
        let constant = u64::try_from(instruction.immediate).unwrap();
        let value = |register: usize| registers[register].expect("register is read before it is written");
        let mut taken = false;
        match instruction.code {
            code::LOAD_WORD => {
                assert_eq!(from, 1);
                registers[to] = Some(u64::from(match instruction.offset {
                    0 => request.access << 16 | request.kind,
                    4 => request.major,
                    8 => request.minor,
                    other => panic!("load from offset {other}"),
                }));
            }
            code::MOVE_REGISTER => registers[to] = Some(value(from) & 0xffff_ffff),
            code::MOVE_CONSTANT => registers[to] = Some(constant),
            code::AND_CONSTANT => registers[to] = Some(value(to) & constant),
            code::SHIFT_RIGHT_CONSTANT => registers[to] = Some(value(to) >> constant),
            code::JUMP => taken = true,
            code::JUMP_IF_NOT_EQUAL => taken = value(to) != constant,
            code::JUMP_IF_ANY_SET => taken = value(to) & constant != 0,
            code::EXIT => return value(0) == 1,
            other => panic!("unknown instruction {other:#x}"),
        }
        if taken {
            next += usize::try_from(instruction.offset).unwrap();
        }
    }
    panic!("program does not end");
}

fn rule(allow: bool, kind: LinuxDeviceType, numbers: (i64, i64), access: &str) -> LinuxDeviceCgroup {
    LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(kind)
        .major(numbers.0)
        .minor(numbers.1)
        .access(access)
        .build()
        .unwrap()
}

fn deny_all() -> LinuxDeviceCgroup {
    LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build().unwrap()
}

fn compiled(rules: &[LinuxDeviceCgroup]) -> Option<Vec<BpfInstruction>> {
    DevicePolicy::from_oci(rules).unwrap().program().unwrap()
}

fn allows(rules: &[LinuxDeviceCgroup], kind: u32, numbers: (u32, u32), access: u32) -> bool {
    compiled(rules)
        .is_none_or(|program| run(&program, Request { kind, major: numbers.0, minor: numbers.1, access }))
}

#[test]
fn default_devices_are_allowed_without_any_rule() {
    for numbers in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 0), (136, 77)] {
        assert!(allows(&[], CHARACTER, numbers, READ | WRITE), "{numbers:?}");
    }
    assert!(allows(&[], BLOCK, (8, 0), MAKE_NODE));
    assert!(!allows(&[], BLOCK, (8, 0), READ));
    assert!(!allows(&[], BLOCK, (1, 3), READ));
    assert!(!allows(&[], CHARACTER, (10, 200), READ));
    assert!(!allows(&[], CHARACTER, (1, 1), MAKE_NODE | READ));
}

#[test]
fn everything_allowed_needs_no_program() {
    assert_eq!(compiled(&[deny_all(), rule(true, LinuxDeviceType::A, (-1, -1), "rwm")]), None);
}

#[test]
fn an_allowed_device_is_allowed_for_that_access_only() {
    let rules = [deny_all(), rule(true, LinuxDeviceType::B, (8, 16), "r")];
    assert!(allows(&rules, BLOCK, (8, 16), READ));
    assert!(allows(&rules, BLOCK, (8, 16), READ | MAKE_NODE));
    assert!(!allows(&rules, BLOCK, (8, 16), READ | WRITE));
    assert!(!allows(&rules, BLOCK, (8, 17), READ));
    assert!(!allows(&rules, CHARACTER, (8, 16), READ));
}

#[test]
fn the_last_rule_decides_for_each_access() {
    let allow_then_deny =
        [rule(true, LinuxDeviceType::C, (10, -1), "rwm"), rule(false, LinuxDeviceType::C, (10, 5), "w")];
    assert!(allows(&allow_then_deny, CHARACTER, (10, 4), READ | WRITE));
    assert!(allows(&allow_then_deny, CHARACTER, (10, 5), READ));
    assert!(!allows(&allow_then_deny, CHARACTER, (10, 5), READ | WRITE));
    let deny_then_allow =
        [rule(false, LinuxDeviceType::C, (10, 5), "w"), rule(true, LinuxDeviceType::C, (10, -1), "rwm")];
    assert!(allows(&deny_then_allow, CHARACTER, (10, 5), READ | WRITE));
}

#[test]
fn a_device_can_be_taken_from_an_otherwise_privileged_container() {
    let rules =
        [rule(true, LinuxDeviceType::A, (-1, -1), "rwm"), rule(false, LinuxDeviceType::B, (8, -1), "rw")];
    assert!(!allows(&rules, BLOCK, (8, 0), READ));
    assert!(allows(&rules, BLOCK, (8, 0), MAKE_NODE));
    assert!(allows(&rules, BLOCK, (259, 0), READ | WRITE));
    assert!(allows(&rules, CHARACTER, (10, 200), READ | WRITE));
}

#[test]
fn a_rule_that_a_later_one_makes_void_costs_no_instruction() {
    let plain = compiled(&[deny_all(), rule(true, LinuxDeviceType::C, (10, 200), "rwm")]).unwrap();
    let with_void_rules = compiled(&[
        rule(true, LinuxDeviceType::B, (9, 9), "rw"),
        deny_all(),
        rule(false, LinuxDeviceType::B, (7, 7), "rwm"),
        rule(true, LinuxDeviceType::C, (10, 200), "r"),
        rule(true, LinuxDeviceType::C, (10, 200), "rwm"),
    ])
    .unwrap();
    assert_eq!(plain, with_void_rules);
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_by_its_place() {
    for (bad, field) in [
        (rule(true, LinuxDeviceType::C, (1, 3), ""), "devices[1].access"),
        (rule(true, LinuxDeviceType::C, (1, 3), "rx"), "devices[1].access"),
        (rule(true, LinuxDeviceType::C, (-2, 3), "r"), "devices[1].major"),
        (rule(true, LinuxDeviceType::C, (1, 1 << 31), "r"), "devices[1].minor"),
    ] {
        let error = DevicePolicy::from_oci(&[deny_all(), bad]).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
    let error = DevicePolicy::from_oci(&[rule(true, LinuxDeviceType::P, (1, 1), "r")]).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::Unsupported);
}

#[test]
fn more_rules_than_jumps_can_span_are_refused() {
    let rules: Vec<_> = (0..10_000).map(|minor| rule(true, LinuxDeviceType::C, (10, minor), "rwm")).collect();
    let policy = DevicePolicy::from_oci(&rules).unwrap();
    assert_eq!(policy.program().unwrap_err().kind(), crate::Kind::InvalidArgument);
}

/// What a list of rules means, said as simply as possible: each kind of access on its own, last match first.
fn meaning(rules: &[LinuxDeviceCgroup], request: Request) -> bool {
    [MAKE_NODE, READ, WRITE].into_iter().filter(|bit| request.access & bit != 0).all(|bit| {
        let letter = match bit {
            MAKE_NODE => 'm',
            READ => 'r',
            _ => 'w',
        };
        rules
            .iter()
            .rev()
            .find(|rule| {
                let kind = match rule.typ() {
                    Some(LinuxDeviceType::B) => request.kind == BLOCK,
                    Some(LinuxDeviceType::C) => request.kind == CHARACTER,
                    _ => true,
                };
                let matches = |rule: Option<i64>, asked: u32| {
                    rule.is_none_or(|rule| rule == -1 || rule == i64::from(asked))
                };
                kind && matches(rule.major(), request.major)
                    && matches(rule.minor(), request.minor)
                    && rule.access().as_deref().unwrap_or_default().contains(letter)
            })
            .is_some_and(LinuxDeviceCgroup::allow)
    })
}

/// Devices beyond the defaults, so that the two differ only by what is tested.
#[test]
fn programs_mean_what_their_rules_say() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut choose = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    for _ in 0..3000 {
        let rules: Vec<_> = (0..choose(7))
            .map(|_| {
                let kind = [LinuxDeviceType::A, LinuxDeviceType::B, LinuxDeviceType::C]
                    [usize::try_from(choose(3)).unwrap()];
                let number = |pick: u64| if pick == 0 { -1 } else { i64::try_from(pick).unwrap() + 200 };
                let numbers = (number(choose(3)), number(choose(3)));
                let access = ["r", "w", "rw", "rwm", "m", "rm"][usize::try_from(choose(6)).unwrap()];
                rule(choose(2) == 0, kind, numbers, access)
            })
            .collect();
        let program = compiled(&rules);
        for kind in [BLOCK, CHARACTER] {
            for major in 201..=203 {
                for minor in 201..=203 {
                    // Making a node is a default for every device.
                    for access in [READ, WRITE, READ | WRITE] {
                        let request = Request { kind, major, minor, access };
                        let got = program.as_deref().is_none_or(|program| run(program, request));
                        assert_eq!(got, meaning(&rules, request), "{request:?} with {rules:?}");
                    }
                }
            }
        }
    }
}
