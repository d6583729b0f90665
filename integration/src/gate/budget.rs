//! What each request may take, and what it took: both are counts by operation and process. Knows how much more is too much,
//! nothing of where the counts come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measured::Operation;

/// Calls that are made because one thread was faster than another, because a thread came or went, or because two messages or
/// exits came together: the same work has more or fewer of them. (`clock_gettime` is a call on user-mode Linux only.)
const OF_SCHEDULING: [&str; 19] = [
    "clock_gettime",
    "epoll_wait",
    "eventfd2",
    "exit",
    "futex",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "recvfrom",
    "rseq",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "wait4",
];

/// Calls that make processes, threads or programs: not one more is allowed.
const OF_PROCESSES: [&str; 5] = ["clone", "clone3", "execve", "fork", "vfork"];

/// The process that has threads.
const SHIM: &str = "shim";

/// A function with less than this share of an operation's instructions is not worth a line: per thousand.
const SMALL_FUNCTION: u64 = 5;
const SMALL_FUNCTIONS: &str = "(functions of less than 0.5 % each)";

/// What was counted. Parts that cannot be compared are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    /// System calls by name.
    pub(super) syscalls: BTreeMap<String, Operation>,
    /// Instructions in user space by function.
    pub(super) instructions: BTreeMap<String, Operation>,
    /// Bytes by kind.
    pub(super) memory: BTreeMap<String, u64>,
    /// Bytes by program.
    pub(super) sizes: BTreeMap<String, u64>,
}

/// What was counted when the budget was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Budget(pub(super) Found);

impl Budget {
    pub(super) fn of(found: &Found) -> Self {
        let mut found = found.clone();
        for functions in found.instructions.values_mut().flat_map(BTreeMap::values_mut) {
            fold_small(functions);
        }
        Self(found)
    }
}

/// Puts functions together that would only make the file long.
pub(super) fn fold_small(functions: &mut BTreeMap<String, u64>) {
    let least = functions.values().sum::<u64>() * SMALL_FUNCTION / 1000;
    let small: u64 = functions.values().filter(|count| **count < least).sum();
    functions.retain(|_, count| *count >= least);
    *functions.entry(SMALL_FUNCTIONS.to_owned()).or_default() += small;
}

/// What a system call is, as far as slack goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Makes a process, a thread or a program.
    Process,
    /// Depends on the order in which threads run.
    Scheduling,
    /// What the work takes.
    Work,
}

impl Kind {
    pub(super) fn of(call: &str) -> Self {
        if OF_PROCESSES.contains(&call) {
            Self::Process
        } else if OF_SCHEDULING.contains(&call) {
            Self::Scheduling
        } else {
            Self::Work
        }
    }

    /// The most that `process` may have where `budget` was. All but the shim have one thread, and next to nothing to vary.
    pub(super) fn most(self, process: &str, budget: u64) -> u64 {
        match (self, process) {
            (Self::Process, _) => budget,
            // The same build took 43 to 57 in exec: which thread comes first is a matter of the run.
            (Self::Scheduling, _) => budget + (budget / 2).max(6),
            // Waking the event loop is a `write` like any other.
            (Self::Work, SHIM) => budget + (budget * 3 / 100).max(4),
            // One may be left of what came before.
            (Self::Work, _) => budget + (budget * 2 / 100).max(1),
        }
    }
}

/// The most instructions that may be counted where `budget` was: compilers and C libraries differ that much.
pub(super) fn most_instructions(budget: u64) -> u64 {
    budget + (budget * 4 / 100).max(500)
}

/// The most bytes of memory: a few pages more or less are the allocator's business.
pub(super) fn most_memory(budget: u64) -> u64 {
    budget + (budget * 6 / 100).max(32 << 10)
}

/// The most bytes of a program.
pub(super) fn most_size(budget: u64) -> u64 {
    budget + budget * 3 / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_more_is_too_much_and_a_woken_thread_is_not() {
        assert_eq!(Kind::of("clone3").most(SHIM, 1), 1);
        assert!(Kind::of("futex").most(SHIM, 3) > 3);
        assert_eq!(Kind::of("openat2").most(SHIM, 10), 14);
        assert_eq!(Kind::of("openat2").most(SHIM, 200), 206);
        assert_eq!(Kind::of("openat2").most("spawner", 10), 11);
    }

    #[test]
    fn small_functions_are_put_together_and_none_is_lost() {
        let mut functions =
            BTreeMap::from([("large".to_owned(), 990), ("a".to_owned(), 4), ("b".to_owned(), 6)]);
        fold_small(&mut functions);
        assert_eq!(functions["large"], 990);
        assert_eq!(functions["b"], 6);
        assert_eq!(functions[SMALL_FUNCTIONS], 4);
    }
}
