//! Lays a profile's decisions out as a program: the architecture, then a binary search over number ranges, then arguments.
//! Knows no profile syntax.
//!
//! Since 5.11 the kernel tries a new filter on every native syscall number and remembers those that it allows without a
//! look at the arguments; those never run it again. So only the numbers whose decision needs them load arguments.

use std::collections::HashMap;

use super::action::Action;
use super::architecture::{Architecture, Width, X32_BIT};
use super::assembler::{Assembler, Label, Target, Test};
use super::conditions::{Comparison, Condition};
use super::decisions::{Decision, Named, Range, ranges};
use super::error::Error;
use super::profile::Profile;
use crate::sys::Instruction;

// struct seccomp_data of linux/seccomp.h. Both machines are little-endian: an argument's low word comes first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const ARGUMENT_SIZE: u32 = 8;
const HIGH_WORD: u32 = 4;
/// The number with which a tracer, or the kernel after one, says that there is nothing to do.
const NO_SYSCALL: u32 = u32::MAX;

/// The program for `profile`, whose names are `names`; of whatever length.
pub(super) fn assemble(profile: &Profile<'_>, names: &[Named<'_>]) -> Result<Vec<Instruction>, Error> {
    let mut assembler = Assembler::default();
    let mut unlisted = Target::Return(Action::KILL_PROCESS);
    // The native architecture is first in the profile: written last it is first in the program, next to its test.
    for &architecture in profile.architectures.iter().rev() {
        if architecture == Architecture::X32 {
            // Not an architecture to the kernel: written with x86_64, which is in each profile that has x32.
            continue;
        }
        let section = section(&mut assembler, profile, names, architecture)?;
        unlisted = assembler.branch(Test::Equal, architecture.audit(), section, unlisted).into();
    }
    assembler.load(ARCHITECTURE);
    Ok(assembler.finish())
}

/// What happens to the syscalls of an audit architecture.
fn section(
    assembler: &mut Assembler,
    profile: &Profile<'_>,
    names: &[Named<'_>],
    architecture: Architecture,
) -> Result<Label, Error> {
    let numbers = if architecture == Architecture::X86_64 {
        let x32 = if profile.architectures.contains(&Architecture::X32) {
            search(assembler, &ranges(profile.default, names, Architecture::X32)?, Architecture::X32.width())
        } else {
            let (default, kill) = (Target::Return(profile.default), Target::Return(Action::KILL_PROCESS));
            assembler.branch(Test::Equal, NO_SYSCALL, default, kill).into()
        };
        let x86_64 = search(assembler, &ranges(profile.default, names, architecture)?, architecture.width());
        assembler.branch(Test::AnyBit, X32_BIT, x32, x86_64).into()
    } else {
        search(assembler, &ranges(profile.default, names, architecture)?, architecture.width())
    };
    assembler.lead_to(numbers);
    Ok(assembler.load(NUMBER))
}

fn search(assembler: &mut Assembler, ranges: &[Range], width: Width) -> Target {
    Section { assembler, width, placed: HashMap::new() }.search(ranges)
}

/// The part of a program for one set of numbers.
struct Section<'a> {
    assembler: &'a mut Assembler,
    width: Width,
    /// Decisions that need arguments and are written already.
    placed: HashMap<Decision, Label>,
}

impl Section<'_> {
    /// Finds the range of the number in the accumulator. `ranges` is not empty, and the number not below the first.
    fn search(&mut self, ranges: &[Range]) -> Target {
        match ranges {
            [range] => self.decide(&range.decision),
            [around, one, above]
                if one.first.checked_add(1) == Some(above.first) && around.decision == above.decision =>
            {
                let (yes, no) = (self.decide(&one.decision), self.decide(&around.decision));
                self.assembler.branch(Test::Equal, one.first, yes, no).into()
            }
            _ => {
                let (below, above) = ranges.split_at(ranges.len() / 2);
                let (yes, no) = (self.search(above), self.search(below));
                self.assembler.branch(Test::GreaterOrEqual, above[0].first, yes, no).into()
            }
        }
    }

    fn decide(&mut self, decision: &Decision) -> Target {
        if let Some(label) = self.placed.get(decision) {
            return Target::At(*label);
        }
        let mut otherwise = Target::Return(decision.otherwise);
        for rule in decision.rules.iter().rev() {
            let mut then = Target::Return(rule.action);
            for condition in rule.conditions.iter().rev() {
                then = self.check(*condition, then, otherwise).into();
            }
            otherwise = then;
        }
        if let Target::At(label) = otherwise {
            self.placed.insert(decision.clone(), label);
        }
        otherwise
    }

    fn check(&mut self, condition: Condition, yes: Target, no: Target) -> Label {
        let low = ARGUMENTS + ARGUMENT_SIZE * u32::from(condition.argument);
        match condition.comparison {
            Comparison::Equal { mask, value } => self.equal(low, mask, value, yes, no),
            Comparison::NotEqual(value) => self.equal(low, u64::MAX, value, no, yes),
            Comparison::Greater(value) => self.ordered(low, Test::Greater, value, yes, no),
            Comparison::LessOrEqual(value) => self.ordered(low, Test::Greater, value, no, yes),
            Comparison::GreaterOrEqual(value) => self.ordered(low, Test::GreaterOrEqual, value, yes, no),
            Comparison::Less(value) => self.ordered(low, Test::GreaterOrEqual, value, no, yes),
        }
    }

    /// Equality under a mask that leaves some bit.
    fn equal(&mut self, low: u32, mask: u64, value: u64, yes: Target, no: Target) -> Label {
        let [(low_mask, high_mask), (low_value, high_value)] = [words(mask), words(value)];
        if self.width == Width::Bits32 || high_mask == 0 {
            return self.equal_word(low, low_mask, low_value, yes, no);
        }
        let yes = if low_mask == 0 { yes } else { self.equal_word(low, low_mask, low_value, yes, no).into() };
        self.equal_word(low + HIGH_WORD, high_mask, high_value, yes, no)
    }

    fn equal_word(&mut self, offset: u32, mask: u32, value: u32, yes: Target, no: Target) -> Label {
        self.assembler.branch(Test::Equal, value, yes, no);
        if mask != u32::MAX {
            self.assembler.and(mask);
        }
        self.assembler.load(offset)
    }

    /// `test`, greater or greater or equal, decides when the high words are equal.
    fn ordered(&mut self, low: u32, test: Test, value: u64, yes: Target, no: Target) -> Label {
        let (low_value, high_value) = words(value);
        self.assembler.branch(test, low_value, yes, no);
        let low_word = self.assembler.load(low);
        if self.width == Width::Bits32 {
            return low_word;
        }
        let not_greater = self.assembler.branch(Test::Equal, high_value, low_word, no);
        self.assembler.branch(Test::Greater, high_value, yes, not_greater);
        self.assembler.load(low + HIGH_WORD)
    }
}

/// The low and the high word.
fn words(value: u64) -> (u32, u32) {
    // Truncation is the purpose.
    (value as u32, (value >> 32) as u32)
}
