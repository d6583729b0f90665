//! Evaluates a profile rule by rule, with no program and none of the compiler's steps but the tables of names.

use std::cmp::Reverse;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

use super::super::Machine;
use super::super::architecture::Architecture;
use super::super::multiplexer::Multiplexed;
use super::super::table::Table;
use super::{Call, ENOSYS, KILL_PROCESS};

/// What a filter for `profile` has to return. The profile has no contradictions.
pub(super) fn evaluate(profile: &LinuxSeccomp, machine: Machine, table: &Table, call: Call) -> u32 {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let x32 = call.audit == Architecture::X86_64.audit() && call.number & 0x4000_0000 != 0;
    let wanted: &[(Arch, Architecture)] = match machine {
        Machine::X86_64 => &[
            (Arch::ScmpArchX86_64, Architecture::X86_64),
            (Arch::ScmpArchX86, Architecture::X86),
            (Arch::ScmpArchX32, Architecture::X32),
        ],
        Machine::Aarch64 => {
            &[(Arch::ScmpArchAarch64, Architecture::Aarch64), (Arch::ScmpArchArm, Architecture::Arm)]
        }
    };
    let listed = |arch| profile.architectures().iter().flatten().any(|known| *known == arch);
    let found = wanted.iter().enumerate().find(|(index, (arch, architecture))| {
        let same = architecture.audit() == call.audit && (*architecture == Architecture::X32) == x32;
        same && (*index == 0 || listed(*arch))
    });
    let Some((_, (_, architecture))) = found else {
        return if machine == Machine::X86_64 && x32 && call.number == u32::MAX {
            default
        } else {
            KILL_PROCESS
        };
    };
    let wide = matches!(architecture, Architecture::X86_64 | Architecture::Aarch64);
    by_rules(profile, *architecture, table, call, default, wide)
}

fn by_rules(
    profile: &LinuxSeccomp,
    architecture: Architecture,
    table: &Table,
    call: Call,
    default: u32,
    wide: bool,
) -> u32 {
    let mut newest = None;
    let mut unconditional = None;
    let mut matching: Vec<(Rank, u32)> = Vec::new();
    // For the call behind a multiplexer: its unconditional action, and the conditional ones.
    let (mut inner, mut inner_conditional) = (None, Vec::new());
    for entry in profile.syscalls().iter().flatten() {
        let result = action(entry.action(), entry.errno_ret());
        let args = entry.args().as_deref().unwrap_or_default();
        for name in entry.names() {
            let number = table.numbers(name).and_then(|numbers| numbers.on(architecture));
            newest = newest.max(number.filter(|number| *number & 0x000f_0000 == 0));
            if result == default {
                continue;
            }
            for rule in rules(args, wide) {
                if number == Some(call.number) {
                    if rule.is_empty() {
                        unconditional = unconditional.or(Some(result));
                    } else if rule.iter().all(|arg| holds(arg, call, wide)) {
                        matching.push((rank(&rule, wide), result));
                    }
                }
                let multiplexed = Multiplexed::named(name).filter(|_| architecture == Architecture::X86);
                let reached = multiplexed.is_some_and(|inner| reaches(inner, call));
                if reached && rule.is_empty() {
                    inner = inner.or(Some(result));
                } else if reached {
                    inner_conditional.push(result);
                }
            }
        }
    }
    let strictest =
        inner_conditional.into_iter().filter(|result| result.cast_signed() < default.cast_signed());
    if let Some(result) = inner.or(strictest.min_by_key(|result| result.cast_signed())) {
        let class = (Reverse(0), 0, Reverse(call.arguments[0] & 0xffff));
        matching.push((vec![class], result));
    }
    // Stable: of rules with one rank the first in the profile.
    matching.sort_by(|left, right| left.0.cmp(&right.0));
    let permissive = matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog | LinuxSeccompAction::ScmpActTrace
    );
    let newer = newest.is_some_and(|newest| call.number > newest)
        && !(architecture == Architecture::Arm && call.number >= 0x000f_0000);
    let absent = if newer && !permissive { ENOSYS } else { default };
    unconditional.or(matching.first().map(|(_, result)| *result)).unwrap_or(absent)
}

fn reaches(inner: Multiplexed, call: Call) -> bool {
    use super::super::conditions::Comparison;
    let Comparison::Equal { mask, value } = inner.condition().comparison else { panic!("not an equality") };
    call.number == inner.number && call.arguments[0] & mask == value
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    use LinuxSeccompAction as Oci;
    match action {
        Oci::ScmpActKill | Oci::ScmpActKillThread => 0,
        Oci::ScmpActKillProcess => KILL_PROCESS,
        Oci::ScmpActTrap => 0x0003_0000,
        Oci::ScmpActErrno => 0x0005_0000 + errno.unwrap_or(1),
        Oci::ScmpActNotify => 0x7fc0_0000,
        Oci::ScmpActTrace => 0x7ff0_0000 + errno.unwrap_or(1),
        Oci::ScmpActLog => 0x7ffc_0000,
        Oci::ScmpActAllow => 0x7fff_0000,
    }
}

fn low(value: u64, wide: bool) -> u64 {
    if wide { value } else { value % (1 << 32) }
}

/// The entry's rules: together, or one by one when an argument is tested twice; without the conditions that always hold.
fn rules(args: &[LinuxSeccompArg], wide: bool) -> Vec<Vec<LinuxSeccompArg>> {
    let twice = args.iter().any(|arg| args.iter().filter(|other| other.index() == arg.index()).count() > 1);
    let always = |arg: &LinuxSeccompArg| {
        arg.op() == LinuxSeccompOperator::ScmpCmpMaskedEq && low(arg.value(), wide) == 0
    };
    let kept = |args: &[LinuxSeccompArg]| args.iter().copied().filter(|arg| !always(arg)).collect::<Vec<_>>();
    if twice { args.chunks(1).map(kept).collect() } else { vec![kept(args)] }
}

fn holds(arg: &LinuxSeccompArg, call: Call, wide: bool) -> bool {
    use LinuxSeccompOperator as Oci;
    let actual = low(call.arguments[arg.index()], wide);
    let (value, second) = (low(arg.value(), wide), low(arg.value_two().unwrap_or(0), wide));
    match arg.op() {
        Oci::ScmpCmpNe => actual != value,
        Oci::ScmpCmpLt => actual < value,
        Oci::ScmpCmpLe => actual <= value,
        Oci::ScmpCmpEq => actual == value,
        Oci::ScmpCmpGe => actual >= value,
        Oci::ScmpCmpGt => actual > value,
        Oci::ScmpCmpMaskedEq => actual & value == second & value,
    }
}

/// Smaller is tried first.
type Rank = Vec<(Reverse<usize>, u8, Reverse<u64>)>;

fn rank(rule: &[LinuxSeccompArg], wide: bool) -> Rank {
    use LinuxSeccompOperator as Oci;
    let mut rule = rule.to_vec();
    rule.sort_by_key(LinuxSeccompArg::index);
    let rank = |arg: &LinuxSeccompArg| {
        let (value, second) = (low(arg.value(), wide), low(arg.value_two().unwrap_or(0), wide));
        let (class, value) = match arg.op() {
            Oci::ScmpCmpMaskedEq => (0, second & value),
            Oci::ScmpCmpEq | Oci::ScmpCmpNe => (0, value),
            Oci::ScmpCmpLt | Oci::ScmpCmpLe => (1, u64::MAX - value),
            Oci::ScmpCmpGe | Oci::ScmpCmpGt => (2, value),
        };
        (Reverse(arg.index()), class, Reverse(value))
    };
    rule.iter().map(rank).collect()
}
