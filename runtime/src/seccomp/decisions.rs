//! What a profile decides for every syscall number of one architecture. Knows nothing of instructions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::action::Action;
use super::architecture::Architecture;
use super::conditions::{Condition, precedence};
use super::error::Error;
use super::multiplexer::Multiplexed;
use super::profile::Profile;
use super::table::Table;

/// What happens to a syscall: the action of the first rule whose conditions all hold, or else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decision {
    pub(super) rules: Vec<Rule>,
    pub(super) otherwise: Action,
}

/// An action under conditions, of which there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// The numbers from `first` to the next range's first, and what happens to them.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) decision: Decision,
}

impl Decision {
    fn always(action: Action) -> Self {
        Self { rules: Vec::new(), otherwise: action }
    }
}

/// The rules for one syscall while the profile is read.
#[derive(Debug, Default)]
struct Rules {
    unconditional: Option<Action>,
    conditional: Vec<Rule>,
}

impl Rules {
    fn add(&mut self, conditions: Vec<Condition>, action: Action) {
        if conditions.is_empty() {
            self.unconditional.get_or_insert(action);
        } else {
            self.conditional.push(Rule { conditions, action });
        }
    }

    /// `None` when two rules contradict each other.
    fn decide(mut self, default: Action) -> Option<Decision> {
        if let Some(action) = self.unconditional {
            return Some(Decision::always(action));
        }
        let mut actions = HashMap::new();
        for rule in &self.conditional {
            if *actions.entry(&rule.conditions).or_insert(rule.action) != rule.action {
                return None;
            }
        }
        self.conditional.sort_by(|left, right| precedence(&left.conditions, &right.conditions));
        self.conditional.dedup();
        Some(Decision { rules: self.conditional, otherwise: default })
    }

    /// The action that these rules leave for the way through a multiplexer.
    fn multiplexed(&self, default: Action) -> Option<Action> {
        let strictest = || {
            let actions = self.conditional.iter().map(|rule| rule.action);
            actions
                .min_by(|left, right| left.strictness(*right))
                .filter(|action| action.strictness(default).is_lt())
        };
        self.unconditional.or_else(strictest)
    }
}

/// Decides every number of `architecture`: ranges without gaps, the first from the architecture's first number on.
pub(super) fn ranges(
    profile: &Profile<'_>,
    table: &Table,
    architecture: Architecture,
) -> Result<Vec<Range>, Error> {
    let mut collected: BTreeMap<u32, Rules> = BTreeMap::new();
    let mut multiplexed: BTreeMap<Multiplexed, Rules> = BTreeMap::new();
    let mut newest = None;
    for entry in &profile.entries {
        let alternatives: Vec<Vec<Condition>> = entry
            .alternatives
            .iter()
            .map(|conditions| {
                conditions.iter().filter_map(|condition| condition.at(architecture.width())).collect()
            })
            .collect();
        let restates_default = entry.action == profile.default;
        for name in entry.names {
            let number = table.numbers(name).and_then(|numbers| numbers.on(architecture));
            newest = newest.max(number.filter(|number| counts_as_newest(architecture, *number)));
            if restates_default {
                continue;
            }
            for conditions in &alternatives {
                if let Some(number) = number {
                    collected.entry(number).or_default().add(conditions.clone(), entry.action);
                }
                if architecture == Architecture::X86
                    && let Some(call) = Multiplexed::named(name)
                {
                    multiplexed.entry(call).or_default().add(conditions.clone(), entry.action);
                }
            }
        }
    }
    for (call, rules) in multiplexed {
        if let Some(action) = rules.multiplexed(profile.default) {
            collected.entry(call.number).or_default().add(vec![call.condition()], action);
        }
    }
    let mut decisions = BTreeMap::new();
    for (number, rules) in collected {
        let conflict = || Error::Conflict { number, architecture: architecture.name() };
        decisions.insert(number, rules.decide(profile.default).ok_or_else(conflict)?);
    }
    let absent = Absent { default: profile.default, newest, architecture };
    Ok(absent.fill(&decisions))
}

fn counts_as_newest(architecture: Architecture, number: u32) -> bool {
    architecture.private_numbers().is_none_or(|private| number < private)
}

/// What happens to the numbers that no rule names.
struct Absent {
    default: Action,
    /// The newest call that the profile names.
    newest: Option<u32>,
    architecture: Architecture,
}

impl Absent {
    /// The first number that is newer than the profile, when such numbers are told apart.
    fn first_newer(&self) -> Option<u32> {
        self.newest.filter(|_| !self.default.permits())?.checked_add(1)
    }

    fn action(&self, number: u32) -> Action {
        let newer = self.first_newer().is_some_and(|first| number >= first);
        if newer && counts_as_newest(self.architecture, number) {
            Action::NOT_IMPLEMENTED
        } else {
            self.default
        }
    }

    /// Joins `decisions` and the numbers between them to ranges, neighbours with the same decision to one.
    fn fill(&self, decisions: &BTreeMap<u32, Decision>) -> Vec<Range> {
        let mut firsts = BTreeSet::from([self.architecture.first_number()]);
        firsts.extend(self.first_newer());
        firsts.extend(self.architecture.private_numbers());
        for number in decisions.keys() {
            firsts.insert(*number);
            firsts.extend(number.checked_add(1));
        }
        let mut ranges: Vec<Range> = Vec::new();
        for first in firsts {
            let decision =
                decisions.get(&first).cloned().unwrap_or_else(|| Decision::always(self.action(first)));
            if ranges.last().is_none_or(|last| last.decision != decision) {
                ranges.push(Range { first, decision });
            }
        }
        ranges
    }
}
