//! A profile of the shape of containerd's default: some 350 allowed calls, a few with conditions.

use oci_spec::runtime::LinuxSeccomp;

use super::super::architecture::Architecture;
use super::super::table::Table;
use super::super::{Filter, Machine, compile_for};
use super::{ALLOW, Call, ENOSYS, ERRNO, KILL_PROCESS, interpreter, reference};

const EPERM: u32 = ERRNO | 1;

pub(super) fn default_profile() -> LinuxSeccomp {
    serde_json::from_str(include_str!("default_profile.json")).unwrap()
}

fn compiled(machine: Machine) -> Filter {
    compile_for(&default_profile(), machine).unwrap()
}

#[test]
fn every_number_of_every_architecture_is_decided_as_the_reference_does() {
    let (profile, table) = (default_profile(), Table::new());
    let architectures = [
        Architecture::X86_64,
        Architecture::X86,
        Architecture::X32,
        Architecture::Aarch64,
        Architecture::Arm,
    ];
    let arguments = [0, 1, 8, 40, 0x2_0008, 0xffff_ffff, 0x7e02_0000, 0x1_0000_0028, u64::MAX];
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let filter = compiled(machine);
        for architecture in architectures {
            let base = architecture.first_number();
            let numbers = (base..base + 600).chain(0x000e_fff0..0x000f_0010).chain([
                0x4000_0000,
                0x8000_0000,
                u32::MAX,
            ]);
            for number in numbers {
                for argument in arguments {
                    let call = Call::number(architecture, number, &[argument, argument]);
                    let expected = reference::evaluate(&profile, machine, &table, call);
                    assert_eq!(
                        interpreter::run(&filter.program, call).value,
                        expected,
                        "{machine:?} {call:x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn known_calls_have_known_answers() {
    let filter = compiled(Machine::X86_64);
    let result = |call| interpreter::run(&filter.program, call).value;
    let native = |name, arguments: &[u64]| result(Call::named(Architecture::X86_64, name, arguments));
    assert_eq!(native("read", &[]), ALLOW);
    assert_eq!(native("mount", &[]), EPERM);
    assert_eq!(native("clone3", &[]), ENOSYS);
    assert_eq!(native("clone", &[0x0120_0011]), ALLOW);
    assert_eq!(native("clone", &[0x1000_0000]), EPERM);
    assert_eq!(native("personality", &[0xffff_ffff]), ALLOW);
    assert_eq!(native("personality", &[u64::MAX]), EPERM);
    assert_eq!(native("socket", &[2]), ALLOW);
    assert_eq!(native("socket", &[40]), EPERM);
    assert_eq!(native("listns", &[]), ENOSYS);
    assert_eq!(result(Call::named(Architecture::X86, "read", &[])), ALLOW);
    assert_eq!(result(Call::named(Architecture::X86, "mount", &[])), EPERM);
    assert_eq!(result(Call::named(Architecture::X32, "ioctl", &[])), ALLOW);
    assert_eq!(result(Call::number(Architecture::Aarch64, 63, &[])), KILL_PROCESS);
    assert_eq!(filter.unknown_syscalls, [""; 0]);
}

/// Exact counts for this profile; a change of the layout has to look at them.
#[test]
fn common_calls_take_few_instructions() {
    for (machine, architecture) in
        [(Machine::X86_64, Architecture::X86_64), (Machine::Aarch64, Architecture::Aarch64)]
    {
        let filter = compiled(machine);
        for name in ["read", "write", "openat", "futex", "close", "epoll_pwait", "mmap"] {
            let outcome = interpreter::run(&filter.program, Call::named(architecture, name, &[]));
            assert_eq!(outcome.value, ALLOW, "{name}");
            assert!(outcome.steps <= 11, "{name} takes {} instructions on {architecture:?}", outcome.steps);
        }
        let numbers = (0..500).map(|number| Call::number(architecture, number, &[40]));
        let steps = numbers.map(|call| interpreter::run(&filter.program, call).steps);
        let slowest = steps.max().unwrap();
        assert!(slowest <= 32, "the slowest call takes {slowest} instructions on {architecture:?}");
        assert!(filter.program.len() <= 350, "{} instructions for {machine:?}", filter.program.len());
    }
}
