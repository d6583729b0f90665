//! What the runtime does itself for a priority, where no file of a cgroup does: packets, slices of tasks, cores, reclaim.
//! `oom_score_adj` and memory QoS have modules of their own.

use super::packet_priority::PacketPriority;
use super::reclaimer::Reclaimer;
use super::time_slice;
use crate::error::{Error, report};
use crate::plan::wire::{CoreCookie, Scheduling};
use crate::sys;
use ballast_cgroups::priority::{
    Backend, Knob, Level, Mechanism, Outcome, PacketTreatment, PageCacheLimit, Report, Request,
};
use ballast_cgroups::{Cgroup, Marks};
use rustix::io::Errno;
use std::fmt;

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct Mechanisms {
    packets: PacketPriority,
    reclaimer: Option<Reclaimer>,
    /// Whether tasks have the slice of offline ones.
    offline_slice: bool,
    /// `None` until the container is made; then it stays, because a cookie is inherited from the first process.
    cores: Option<Cores>,
}

/// Who may run beside a container on the other hardware threads of its cores.
#[derive(Debug)]
enum Cores {
    /// Anybody.
    Shared,
    /// Its own processes.
    Own,
    /// Anybody, although it asked.
    Impossible(String),
}

/// Something that was asked for and is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// What was asked for.
    pub knob: Knob,
    /// By what it would be done.
    pub mechanism: Mechanism,
    /// Why it is not.
    pub why: String,
}

impl fmt::Display for Undone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: no {}: {}", self.knob, self.mechanism, self.why)
    }
}

impl Mechanisms {
    /// Brings all of them in line with what is asked for and what the files do not do. Returns what cannot be done.
    pub(super) fn carry_out(&mut self, cgroup: &Cgroup, request: &Request, report: &Report) -> Vec<Undone> {
        let left = |mechanism| report.left().find(|(_, left)| *left == mechanism).map(|(knob, _)| knob);
        let mut undone = Vec::new();
        let mut short = |knob: Option<Knob>, mechanism: Mechanism, why: String| {
            undone.extend(knob.map(|knob| Undone { knob, mechanism, why }));
        };
        let packets = left(Mechanism::PacketPriority);
        // No file sets a mark, whoever does the priority.
        let treatment =
            PacketTreatment { priority: packets.and(request.net_priority), mark: request.net_mark };
        if let Err(error) = self.packets.set(cgroup, treatment) {
            short(packets.or(Some(Knob::NetPriority)), Mechanism::PacketPriority, self::report(&error));
        }
        let slice = self.set_slice(cgroup, is_offline_on_mainline(request, report));
        if let Err(error) = slice {
            short(Some(Knob::Cpu), Mechanism::TimeSlice, self::report(&error));
        }
        let cores = left(Mechanism::CoreScheduling);
        if let Err(why) = self.settle_cores(cores.is_some()) {
            short(Some(Knob::CpuSmtIsolation), Mechanism::CoreScheduling, why);
        }
        if let Err(why) = self.set_marks(cgroup, marks(request, report)) {
            for (knob, _) in report.left().filter(|(_, left)| *left == Mechanism::UserSpaceReclaim) {
                short(Some(knob), Mechanism::UserSpaceReclaim, why.clone());
            }
        }
        if let Some(knob) = left(Mechanism::PacketPacing) {
            short(Some(knob), Mechanism::PacketPacing, NO_PACING.to_owned());
        }
        undone
    }

    /// What a process that is made from now on takes on before its `execve`. `init` is the pid of the container's first process, if
    /// there is one already.
    pub(super) fn scheduling(&self, init: Option<u32>) -> Scheduling {
        let has_cookie = matches!(self.cores, Some(Cores::Own));
        Scheduling {
            time_slice_nanoseconds: self.offline_slice.then_some(time_slice::OFFLINE_NANOSECONDS),
            core: match init {
                None => has_cookie.then_some(CoreCookie::Create),
                // Whose first process has ended has nobody to share with.
                Some(pid) => has_cookie.then(|| innermost_pid(pid)).flatten().map(CoreCookie::ShareFrom),
            },
        }
    }

    /// What only a new container can have is decided.
    pub(super) fn close(&mut self) {
        self.cores.get_or_insert(Cores::Shared);
    }

    fn set_slice(&mut self, cgroup: &Cgroup, offline: bool) -> Result<(), Error> {
        // Before Linux 6.12 there are none, and `cpu.idle` alone is what that kernel has.
        if offline == self.offline_slice || (offline && !time_slice::are_there()) {
            return Ok(());
        }
        self.offline_slice = offline;
        time_slice::change(cgroup, offline)
    }

    fn settle_cores(&mut self, asked: bool) -> Result<(), String> {
        match (&self.cores, asked) {
            (None, true) => {
                let probed = sys::probe_core_scheduling().map_err(why_no_core_scheduling);
                self.cores = Some(probed.clone().map_or_else(Cores::Impossible, |()| Cores::Own));
                probed
            }
            (None, false) => Ok(()),
            (Some(Cores::Impossible(why)), true) => Err(why.clone()),
            (Some(Cores::Shared), true) | (Some(Cores::Own), false) => {
                Err("is decided when the container is made".to_owned())
            }
            (Some(Cores::Own), true) | (Some(Cores::Shared | Cores::Impossible(_)), false) => Ok(()),
        }
    }

    fn set_marks(&mut self, cgroup: &Cgroup, marks: Marks) -> Result<(), String> {
        if marks != self.reclaimer.as_ref().map(Reclaimer::marks).unwrap_or_default() {
            self.reclaimer = None;
            if marks != Marks::default() {
                let reclaim = cgroup.reclaim(marks).map_err(|error| report(&error))?;
                let started = Reclaimer::start(reclaim, marks);
                self.reclaimer = Some(started.map_err(|error| format!("start a thread: {error}"))?);
            }
        }
        let is_share = marks.page_cache_share.is_some() || marks.usage_share.is_some();
        // It begins when an update brings one.
        if is_share && cgroup.memory_limit().map_err(|error| report(&error))?.is_none() {
            return Err("it is a share of a memory limit, and there is none".to_owned());
        }
        Ok(())
    }
}

/// Why nobody on this node does what a mechanism is for; `None` where the runtime does, as far as that can be known before it is
/// asked for.
#[must_use]
pub fn obstacle_to(mechanism: Mechanism) -> Option<String> {
    match mechanism {
        Mechanism::PacketPacing => Some(NO_PACING.to_owned()),
        Mechanism::CoreScheduling => sys::probe_core_scheduling().err().map(why_no_core_scheduling),
        _ => None,
    }
}

fn why_no_core_scheduling(errno: Errno) -> String {
    match errno {
        Errno::NODEV => "this machine has no SMT that is on".to_owned(),
        Errno::INVAL => "the kernel has no core scheduling".to_owned(),
        errno => format!("prctl PR_SCHED_CORE: {errno}"),
    }
}

/// A process's number in its own pid namespace.
fn innermost_pid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_ascii_whitespace().next_back()?.parse().ok()
}

/// Why traffic is not bounded.
const NO_PACING: &str = "packets that leave a pod by a veth pair lose the time that they were given, and Ballast owns no qdisc of the node; \
                         the CNI plugin `bandwidth` does it";

fn is_offline_on_mainline(request: &Request, report: &Report) -> bool {
    request.level == Some(Level::OFFLINE)
        && report.entries.iter().any(|entry| {
            entry.knob == Knob::Cpu
                && matches!(entry.outcome, Outcome::Written { backend: Backend::Mainline, .. })
        })
}

/// What is left to reclaim from user space.
fn marks(request: &Request, report: &Report) -> Marks {
    let is_left = |knob| {
        report.left().any(|(left, mechanism)| (left, mechanism) == (knob, Mechanism::UserSpaceReclaim))
    };
    let page_cache = request.page_cache_limit.filter(|_| is_left(Knob::PageCacheLimit));
    let usage = request.memory_async_reclaim.filter(|_| is_left(Knob::MemoryAsyncReclaim));
    Marks {
        page_cache: match page_cache {
            Some(PageCacheLimit::Bytes(bytes)) => Some(bytes),
            _ => None,
        },
        page_cache_share: match page_cache {
            Some(PageCacheLimit::Share(share)) => Some(share.hundredths()),
            _ => None,
        },
        usage_share: usage.map(|share| share.hundredths()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_decided_when_the_container_is_made() {
        let late = Err("is decided when the container is made".to_owned());
        let mut never = Mechanisms::default();
        assert_eq!(never.settle_cores(false), Ok(()));
        never.close();
        assert_eq!((never.settle_cores(false), never.settle_cores(true)), (Ok(()), late.clone()));
        assert_eq!(never.scheduling(None), Scheduling::default());
        let mut own = Mechanisms { cores: Some(Cores::Own), ..Mechanisms::default() };
        own.close();
        assert_eq!((own.settle_cores(true), own.settle_cores(false)), (Ok(()), late));
        assert_eq!(own.scheduling(None).core, Some(CoreCookie::Create));
        let pid = std::process::id();
        assert!(matches!(own.scheduling(Some(pid)).core, Some(CoreCookie::ShareFrom(_))));
    }

    #[test]
    fn what_a_machine_cannot_do_is_told_with_the_same_reason_each_time() {
        let mut mechanisms = Mechanisms::default();
        let first = mechanisms.settle_cores(true);
        mechanisms.close();
        assert_eq!(mechanisms.settle_cores(true), first);
        assert_eq!(mechanisms.scheduling(None).core.is_some(), first.is_ok());
    }

    #[test]
    fn marks_follow_what_is_left_to_the_runtime() {
        use ballast_cgroups::priority::{Entry, Percent};
        let share = Percent::new(40).unwrap();
        let request = Request {
            page_cache_limit: Some(PageCacheLimit::Share(share)),
            memory_async_reclaim: Some(share),
            ..Request::default()
        };
        let outcome = |to| Outcome::Left { to };
        let entry = |knob, outcome| Entry { knob, asked: String::new(), outcome, passed_over: Vec::new() };
        let entries = vec![
            entry(Knob::PageCacheLimit, outcome(vec![Mechanism::UserSpaceReclaim])),
            entry(Knob::MemoryAsyncReclaim, Outcome::Unset),
        ];
        let report = Report { entries, ..Report::default() };
        assert_eq!(marks(&request, &report), Marks { page_cache_share: Some(40), ..Marks::default() });
        assert_eq!(marks(&request, &Report::default()), Marks::default());
    }
}
