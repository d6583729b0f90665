//! A device policy as a program. For each access the kernel runs it with `struct bpf_cgroup_dev_ctx`; it returns 1 to
//! allow and 0 to refuse (`linux/bpf.h`).

use crate::bpf::{BpfInstruction, Register};
use crate::devices::rule::{DeviceAccess, DeviceKind, DevicePolicy, Rule};
use crate::error::{Error, Result};

/// `r0`: what the program returns.
const VERDICT: Register = Register(0);
/// `r1`: the context.
const CONTEXT: Register = Register(1);
const KIND: Register = Register(2);
/// The kinds of access that are asked for and not decided yet.
const UNDECIDED: Register = Register(3);
const MAJOR: Register = Register(4);
const MINOR: Register = Register(5);

/// Offsets in `struct bpf_cgroup_dev_ctx`, in bytes. `access_type` is the access in the high half, the kind in the low.
const ACCESS_TYPE_OFFSET: i16 = 0;
const MAJOR_OFFSET: i16 = 4;
const MINOR_OFFSET: i16 = 8;

pub(super) fn compile(policy: &DevicePolicy) -> Result<Option<Vec<BpfInstruction>>> {
    if policy.allow_by_default && policy.rules.is_empty() {
        return Ok(None);
    }
    let mut program = vec![
        BpfInstruction::load_word(KIND, CONTEXT, ACCESS_TYPE_OFFSET),
        BpfInstruction::load_word(MAJOR, CONTEXT, MAJOR_OFFSET),
        BpfInstruction::load_word(MINOR, CONTEXT, MINOR_OFFSET),
        BpfInstruction::move_register(UNDECIDED, KIND),
        BpfInstruction::shift_right(UNDECIDED, 16),
        BpfInstruction::and(KIND, 0xffff),
    ];
    for kind in [DeviceKind::Character, DeviceKind::Block] {
        // The last rule that names a device decides, so they are asked from the last to the first.
        let mut section: Vec<BpfInstruction> = Vec::new();
        for rule in policy.rules.iter().rev().filter(|rule| rule.kind == kind) {
            section.extend(compile_rule(rule));
        }
        if section.is_empty() {
            continue;
        }
        section.extend(verdict(policy.allow_by_default));
        let distance = i16::try_from(section.len()).map_err(|_| {
            Error::invalid("devices", policy.rules.len(), "are more rules than a device program can hold")
        })?;
        program.push(BpfInstruction::jump_if_not_equal(KIND, kind_number(kind), distance));
        program.extend(section);
    }
    program.extend(verdict(policy.allow_by_default));
    Ok(Some(program))
}

/// Decides what the rule speaks of and falls through with the rest.
fn compile_rule(rule: &Rule) -> Vec<BpfInstruction> {
    let bits = i32::from(rule.access.bits());
    let (guard, mut distance): (&[BpfInstruction], i16) = match (rule.allow, rule.access) {
        (_, DeviceAccess::ALL) => (&[], 2),
        (true, _) => {
            let others = i32::from(DeviceAccess::ALL.bits()) & !bits;
            (&[BpfInstruction::and(UNDECIDED, others), BpfInstruction::jump_if_not_equal(UNDECIDED, 0, 2)], 4)
        }
        (false, _) => (&[BpfInstruction::jump_if_any_set(UNDECIDED, bits, 1), BpfInstruction::jump(2)], 4),
    };
    let mut conditions = Vec::with_capacity(6);
    for (register, number) in [(MINOR, rule.minor), (MAJOR, rule.major)] {
        if let Some(number) = number {
            conditions.insert(0, BpfInstruction::jump_if_not_equal(register, number, distance));
            distance += 1;
        }
    }
    conditions.extend(guard);
    conditions.extend(verdict(rule.allow));
    conditions
}

fn verdict(allow: bool) -> [BpfInstruction; 2] {
    [BpfInstruction::move_constant(VERDICT, i32::from(allow)), BpfInstruction::exit()]
}

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const fn kind_number(kind: DeviceKind) -> i32 {
    match kind {
        DeviceKind::Block => 1,
        DeviceKind::Character => 2,
    }
}

#[cfg(test)]
mod tests;
