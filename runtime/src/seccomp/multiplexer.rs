//! x86's two multiplexers: `socketcall` and `ipc` take the number of a call and reach it past its own syscall.
//! Knows no rules.
//!
//! A rule without conditions holds on both ways. The conditions of a rule cannot be checked here, as the
//! call's arguments are behind a pointer. (libseccomp drops the first condition and tests the rest against
//! `socketcall`'s own arguments, which opens what the rule meant to close.) So of the rules with conditions only those
//! that are stricter than the default action hold here, the strictest of them, and for all arguments. A profile that
//! allows `socketcall` itself without conditions, as containerd's does, allows all of it.

use super::conditions::{Comparison, Condition};

const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

/// `linux/net.h` (`SYS_*`) and `linux/ipc.h`, sorted by name.
const CALLS: [(&str, u32, u32); 32] = [
    ("accept", SOCKETCALL, 5),
    ("accept4", SOCKETCALL, 18),
    ("bind", SOCKETCALL, 2),
    ("connect", SOCKETCALL, 3),
    ("getpeername", SOCKETCALL, 7),
    ("getsockname", SOCKETCALL, 6),
    ("getsockopt", SOCKETCALL, 15),
    ("listen", SOCKETCALL, 4),
    ("msgctl", IPC, 14),
    ("msgget", IPC, 13),
    ("msgrcv", IPC, 12),
    ("msgsnd", IPC, 11),
    ("recv", SOCKETCALL, 10),
    ("recvfrom", SOCKETCALL, 12),
    ("recvmmsg", SOCKETCALL, 19),
    ("recvmsg", SOCKETCALL, 17),
    ("semctl", IPC, 3),
    ("semget", IPC, 2),
    ("semop", IPC, 1),
    ("semtimedop", IPC, 4),
    ("send", SOCKETCALL, 9),
    ("sendmmsg", SOCKETCALL, 20),
    ("sendmsg", SOCKETCALL, 16),
    ("sendto", SOCKETCALL, 11),
    ("setsockopt", SOCKETCALL, 14),
    ("shmat", IPC, 21),
    ("shmctl", IPC, 24),
    ("shmdt", IPC, 22),
    ("shmget", IPC, 23),
    ("shutdown", SOCKETCALL, 13),
    ("socket", SOCKETCALL, 1),
    ("socketpair", SOCKETCALL, 8),
];

/// A call behind a multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Multiplexed {
    /// The multiplexer's number on x86.
    pub(super) number: u32,
    call: u32,
}

impl Multiplexed {
    /// The call `name` on x86, if it is one of a multiplexer.
    pub(super) fn named(name: &str) -> Option<Self> {
        let index = CALLS.binary_search_by_key(&name, |(known, _, _)| known).ok()?;
        let (_, number, call) = CALLS[index];
        Some(Self { number, call })
    }

    /// What a syscall of the multiplexer has to be to reach the call.
    pub(super) fn condition(self) -> Condition {
        // `ipc` has a version in the upper half of its first argument, and takes the call from the lower.
        let mask = if self.number == IPC { 0xffff } else { 0xffff_ffff };
        Condition { argument: 0, comparison: Comparison::Equal { mask, value: u64::from(self.call) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_multiplexed_call_is_found() {
        assert!(CALLS.is_sorted());
        for (name, number, call) in CALLS {
            assert_eq!(Multiplexed::named(name), Some(Multiplexed { number, call }));
        }
        assert_eq!(Multiplexed::named("socketcall"), None);
    }
}
