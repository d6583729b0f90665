//! Runs a program as `seccomp_check_filter` and `___bpf_prog_run` of the kernel would.

use super::super::{Instruction, MAX_INSTRUCTIONS};
use super::Call;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) value: u32,
    /// Executed instructions, the return included.
    pub(super) steps: usize,
}

/// Panics on whatever the kernel would not load.
pub(super) fn run(program: &[Instruction], call: Call) -> Outcome {
    assert!(program.len() <= MAX_INSTRUCTIONS, "{} instructions", program.len());
    let (mut at, mut accumulator) = (0usize, 0u32);
    for steps in 1..=program.len() {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let test = match code {
            0x20 => {
                accumulator = word(call, k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return Outcome { value: k, steps },
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            other => panic!("instruction {} has the unknown code {other:#x}", at - 1),
        };
        at += usize::from(if test { jt } else { jf });
    }
    panic!("the program does not return");
}

fn word(call: Call, offset: u32) -> u32 {
    assert!(offset.is_multiple_of(4), "load at {offset}");
    match offset {
        0 => call.number,
        4 => call.audit,
        16..64 => {
            let argument = call.arguments[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
        _ => panic!("load at {offset}"),
    }
}
