//! What cannot be done is refused by name.

use serde_json::{Value, json};

use super::super::{Error, Machine, ProfileKey, compile_for};
use super::profile;

fn refusal(value: Value) -> String {
    compile_for(&profile(value), Machine::X86_64).unwrap_err().to_string()
}

fn entry_refusal(entry: Value) -> String {
    refusal(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry] }))
}

#[test]
fn unknown_actions_operators_architectures_and_flags_are_refused_by_name() {
    for (name, value) in [
        ("SCMP_ACT_FOO", json!({ "defaultAction": "SCMP_ACT_FOO" })),
        ("SCMP_ARCH_FOO", json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_FOO"] })),
        ("SECCOMP_FLAG", json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FLAG"] })),
        (
            "SCMP_CMP_FOO",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
                "names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 0, "value": 0, "op": "SCMP_CMP_FOO" }],
            }] }),
        ),
    ] {
        let error = serde_json::from_value::<oci_spec::runtime::LinuxSeccomp>(value).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_bad_entry_is_named() {
    for (entry, message) in [
        (json!({ "names": [], "action": "SCMP_ACT_TRAP" }), "seccomp: entry 0 of syscalls has no names"),
        (
            json!({ "names": ["read", ""], "action": "SCMP_ACT_TRAP" }),
            "seccomp: entry 0 of syscalls has an empty name",
        ),
        (
            json!({ "names": ["mount"], "action": "SCMP_ACT_TRAP", "errnoRet": 1 }),
            "seccomp: SCMP_ACT_TRAP for syscall `mount` takes no errno, and 1 is given",
        ),
        (
            json!({ "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 }),
            "seccomp: errno 4096 of SCMP_ACT_ERRNO for syscall `mount` exceeds 4095",
        ),
        (
            json!({ "names": ["mount"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }] }),
            "seccomp: argument index 6 for syscall `mount` exceeds 5",
        ),
        (
            json!({ "names": ["mount"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 5, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ" }] }),
            "seccomp: SCMP_CMP_EQ on argument 5 of syscall `mount` takes no valueTwo, and 2 is given",
        ),
        (
            json!({ "names": ["read", "write"], "action": "SCMP_ACT_NOTIFY" }),
            "seccomp: SCMP_ACT_NOTIFY cannot be used for syscall `write`",
        ),
        (
            json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }),
            "seccomp: SCMP_ACT_NOTIFY for syscall `mkdir` needs listenerPath",
        ),
    ] {
        assert_eq!(entry_refusal(entry), message);
    }
}

#[test]
fn a_bad_profile_is_named() {
    let conditional = |errno: u32| json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] });
    for (value, message) in [
        (
            json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
            "seccomp: SCMP_ACT_NOTIFY cannot be the default action",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 2 }),
            "seccomp: SCMP_ACT_ALLOW for the default action takes no errno, and 2 is given",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x" }),
            "seccomp: listenerMetadata without listenerPath",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }),
            "seccomp: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [conditional(1), conditional(2)] }),
            "seccomp: two rules for syscall `read` on SCMP_ARCH_X86_64 have the same conditions and different actions",
        ),
    ] {
        assert_eq!(refusal(value), message);
    }
}

#[test]
fn a_program_longer_than_the_kernel_takes_is_refused_with_its_length() {
    let rules = |count: u64| {
        let rule = |value| json!({ "names": ["ioctl"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 1, "value": value, "op": "SCMP_CMP_EQ" }] });
        profile(
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": (0..count).map(rule).collect::<Vec<_>>() }),
        )
    };
    let filter = compile_for(&rules(900), Machine::X86_64).unwrap();
    for (value, expected) in [(0, 0x0003_0000), (899, 0x0003_0000), (900, super::ALLOW)] {
        let call = super::Call::named(super::Architecture::X86_64, "ioctl", &[0, value]);
        assert_eq!(super::interpreter::run(&filter.program, call).value, expected);
    }
    let error = compile_for(&rules(1100), Machine::X86_64).unwrap_err();
    assert!(matches!(error, Error::ProgramTooLong { instructions } if instructions > 4096), "{error}");
}

#[test]
fn a_key_changes_with_the_profile() {
    let key = |metadata| ProfileKey::of(&json!({ "listenerMetadata": metadata }).to_string());
    assert_eq!(key("a"), key("a"));
    assert_ne!(key("a"), key("b"));
}
