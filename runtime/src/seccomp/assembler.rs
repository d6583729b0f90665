//! Writes classic BPF from its end to its start, so that every jump knows its target. Knows no profile.

use std::collections::HashMap;

use super::action::Action;
use crate::sys::Instruction;

// linux/bpf_common.h: class, size or operation, mode or source.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// The tests a branch can make of the accumulator, unsigned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
    /// Any of the bits is set.
    AnyBit = 0x45,
}

/// A place in the program, counted from its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// Where a branch goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    At(Label),
    Return(Action),
}

impl From<Label> for Target {
    fn from(label: Label) -> Self {
        Self::At(label)
    }
}

/// A program that grows at its front.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The foremost return of each action: a copy is as cheap as a jump to one too far away.
    returns: HashMap<Action, Label>,
}

impl Assembler {
    /// The instructions in the order of execution.
    pub(super) fn finish(self) -> Vec<Instruction> {
        self.reversed.into_iter().rev().collect()
    }

    fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(Instruction { code, jt: 0, jf: 0, k });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions one in front of the program would have to skip to get to `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0 - 1
    }

    /// A label for `target` that is in reach of a branch even after `more` instructions.
    fn near(&mut self, target: Target, more: usize) -> Label {
        let label = match target {
            Target::At(label) => Some(label),
            Target::Return(action) => self.returns.get(&action).copied(),
        };
        match (label, target) {
            (Some(label), _) if self.distance(label) + more <= usize::from(u8::MAX) => label,
            (_, Target::Return(action)) => {
                let label = self.push(RETURN, action.value());
                self.returns.insert(action, label);
                label
            }
            (_, Target::At(label)) => {
                let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
                self.push(JUMP, distance)
            }
        }
    }

    /// Tests the accumulator.
    pub(super) fn branch(
        &mut self,
        test: Test,
        operand: u32,
        yes: impl Into<Target>,
        no: impl Into<Target>,
    ) -> Label {
        // `yes` may take one instruction more, which moves `no` away by one.
        let no = self.near(no.into(), 1);
        let yes = self.near(yes.into(), 0);
        let skip = |label| u8::try_from(self.distance(label)).unwrap_or(u8::MAX);
        let (jt, jf) = (skip(yes), skip(no));
        self.reversed.push(Instruction { code: test as u16, jt, jf, k: operand });
        Label(self.reversed.len() - 1)
    }

    /// Loads the word at `offset` of `struct seccomp_data`, then goes on with what was written last.
    pub(super) fn load(&mut self, offset: u32) -> Label {
        self.push(LOAD_WORD, offset)
    }

    /// Clears the accumulator's bits outside of `mask`, then goes on with what was written last.
    pub(super) fn and(&mut self, mask: u32) -> Label {
        self.push(AND, mask)
    }

    /// Makes what was written last lead to `target`, for an instruction that goes on with it.
    pub(super) fn lead_to(&mut self, target: Target) {
        match target {
            Target::At(label) if self.distance(label) == 0 => (),
            Target::At(label) => {
                let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
                self.push(JUMP, distance);
            }
            Target::Return(action) => {
                self.push(RETURN, action.value());
            }
        }
    }
}
