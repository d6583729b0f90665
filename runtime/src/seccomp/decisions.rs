//! What a profile decides for every syscall number of one architecture. Knows nothing of instructions.

use std::collections::{BTreeMap, HashMap};

use super::action::Action;
use super::architecture::{Architecture, Width};
use super::conditions::{Condition, precedence};
use super::error::Error;
use super::multiplexer::Multiplexed;
use super::profile::{Entry, Profile};
use super::table::{Numbers, Table};

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
    fn add(&mut self, entry: &Entry<'_>, width: Width) {
        for conditions in &entry.alternatives {
            let conditions: Vec<_> = conditions.iter().filter_map(|condition| condition.at(width)).collect();
            if conditions.is_empty() {
                self.unconditional.get_or_insert(entry.action);
            } else {
                self.conditional.push(Rule { conditions, action: entry.action });
            }
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

/// A name of the profile with what it stands for. In the profile's order.
#[derive(Debug)]
pub(super) struct Named<'a> {
    name: &'a str,
    entry: &'a Entry<'a>,
    numbers: Numbers,
    multiplexed: Option<Multiplexed>,
}

/// Looks up every name in `profile`. Beside them, once each, those that are in no table.
pub(super) fn resolve<'a>(profile: &'a Profile<'_>, table: &Table) -> (Vec<Named<'a>>, Vec<String>) {
    let (mut named, mut unknown) = (Vec::new(), Vec::new());
    for entry in &profile.entries {
        for name in entry.names {
            match table.numbers(name) {
                Some(numbers) => {
                    named.push(Named { name, entry, numbers, multiplexed: Multiplexed::named(name) })
                }
                None if unknown.contains(name) => (),
                None => unknown.push(name.clone()),
            }
        }
    }
    (named, unknown)
}

/// Decides every number of `architecture`: ranges without gaps, the first from the architecture's first number on.
pub(super) fn ranges(
    default: Action,
    names: &[Named<'_>],
    architecture: Architecture,
) -> Result<Vec<Range>, Error> {
    let mut collected: BTreeMap<u32, Rules> = BTreeMap::new();
    let mut multiplexed: BTreeMap<Multiplexed, Rules> = BTreeMap::new();
    let mut newest = None;
    for Named { entry, numbers, multiplexed: call, .. } in names {
        let number = numbers.on(architecture);
        newest = newest.max(number.filter(|number| counts_as_newest(architecture, *number)));
        if entry.action == default {
            continue;
        }
        if let Some(number) = number {
            collected.entry(number).or_default().add(entry, architecture.width());
        }
        if let Some(call) = call.filter(|_| architecture == Architecture::X86) {
            multiplexed.entry(call).or_default().add(entry, architecture.width());
        }
    }
    for (call, rules) in multiplexed {
        if let Some(action) = rules.multiplexed(default) {
            let rule = Rule { conditions: vec![call.condition()], action };
            collected.entry(call.number).or_default().conditional.push(rule);
        }
    }
    let absent = Absent { default, newest, architecture };
    let mut ranges = Ranges::default();
    let mut next = Some(architecture.first_number());
    for (number, rules) in collected {
        absent.fill(&mut ranges, next, Some(number));
        let conflict = || {
            let named = names.iter().find(|named| named.numbers.on(architecture) == Some(number));
            let syscall = named.map_or_else(String::new, |named| named.name.to_owned());
            Error::Conflict { syscall, architecture: architecture.name() }
        };
        ranges.push(number, rules.decide(default).ok_or_else(conflict)?);
        next = number.checked_add(1);
    }
    absent.fill(&mut ranges, next, None);
    Ok(ranges.0)
}

fn counts_as_newest(architecture: Architecture, number: u32) -> bool {
    architecture.private_numbers().is_none_or(|private| number < private)
}

/// Ranges in the making: neighbours with the same decision are one.
#[derive(Default)]
struct Ranges(Vec<Range>);

impl Ranges {
    fn push(&mut self, first: u32, decision: Decision) {
        if self.0.last().is_none_or(|last| last.decision != decision) {
            self.0.push(Range { first, decision });
        }
    }
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

    /// Adds the numbers from `first` on and below `end`.
    fn fill(&self, ranges: &mut Ranges, first: Option<u32>, end: Option<u32>) {
        let Some(first) = first else { return };
        let boundaries = [Some(first), self.first_newer(), self.architecture.private_numbers()];
        for boundary in boundaries.into_iter().flatten() {
            if boundary >= first && end.is_none_or(|end| boundary < end) {
                ranges.push(boundary, Decision::always(self.action(boundary)));
            }
        }
    }
}
