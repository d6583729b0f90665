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

/// `SYS_*` of `linux/net.h`, from 1.
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// `linux/ipc.h`.
const IPC_CALLS: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
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
        if let Some((call, _)) = (1..).zip(SOCKET_CALLS).find(|(_, known)| *known == name) {
            return Some(Self { number: SOCKETCALL, call });
        }
        let (_, call) = IPC_CALLS.iter().find(|(known, _)| *known == name)?;
        Some(Self { number: IPC, call: *call })
    }

    /// What a syscall of the multiplexer has to be to reach the call.
    pub(super) fn condition(self) -> Condition {
        // `ipc` has a version in the upper half of its first argument, and takes the call from the lower.
        let mask = if self.number == IPC { 0xffff } else { 0xffff_ffff };
        Condition { argument: 0, comparison: Comparison::Equal { mask, value: u64::from(self.call) } }
    }
}
