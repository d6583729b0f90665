//! How long the scheduler lets a task of an offline container run on. Since Linux 6.12 a task that wakes up takes the CPU at once from
//! one with a longer slice, whatever groups they are in; from one with the same slice it does not, `cpu.idle` or not. Measured in
//! `docs/priorities.md`.

use crate::sys::{self, SchedulerAttributes};
use ballast_cgroups::Cgroup;
use rustix::io::Errno;
use std::fs;

/// Longer than any task has by default (at most 3 ms), and short enough that nobody who is computing waits long for an offline
/// task's turn.
pub(super) const OFFLINE_NANOSECONDS: u64 = 10_000_000;

/// Tasks that fork while they are changed are found in the next round; there is always a last one that forks no more, or that no round
/// would catch.
const ROUNDS: usize = 8;

const SCHED_OTHER: u32 = 0;
const SCHED_BATCH: u32 = 3;

/// Whether the kernel has slices of tasks.
pub(super) fn are_there() -> bool {
    sys::scheduler_of(0).is_ok_and(|own| own.runtime_nanoseconds > 0)
}

/// Gives the tasks that run in a cgroup the offline slice, or takes it back. One that chose another slice itself keeps it; one that has
/// ended is passed over.
///
/// # Errors
/// When the processes cannot be listed, or the kernel refuses.
pub(super) fn change(cgroup: &Cgroup, offline: bool) -> Result<(), crate::error::Error> {
    use crate::error::CallContext;
    for _ in 0..ROUNDS {
        let mut changed = false;
        for pid in cgroup.processes()? {
            let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { continue };
            let tids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<i32>().ok());
            for tid in tids {
                changed |= change_task(tid, offline)
                    .call("sched_setattr", || format!("task {tid}, offline slice: {offline}"))?;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

/// Tells whether there was something to change.
fn change_task(tid: i32, offline: bool) -> Result<bool, Errno> {
    let gone = |errno: Errno| if errno == Errno::SRCH { Ok(false) } else { Err(errno) };
    match sys::scheduler_of(tid) {
        Ok(attributes) => match changed(attributes, offline) {
            Some(attributes) => sys::set_scheduler_of(tid, &attributes).map(|()| true).or_else(gone),
            None => Ok(false),
        },
        Err(errno) => gone(errno),
    }
}

/// What to set for a task that has `attributes`; `None` when it is right already, or not ours to change.
fn changed(attributes: SchedulerAttributes, offline: bool) -> Option<SchedulerAttributes> {
    let is_fair = matches!(attributes.policy, SCHED_OTHER | SCHED_BATCH);
    let has_slice = attributes.runtime_nanoseconds == OFFLINE_NANOSECONDS;
    // 0 is the kernel's default.
    let runtime_nanoseconds = if offline { OFFLINE_NANOSECONDS } else { 0 };
    (is_fair && has_slice != offline).then_some(SchedulerAttributes { runtime_nanoseconds, ..attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_tasks_get_the_slice_and_only_that_one_is_taken_back() {
        let task = |policy, runtime_nanoseconds| SchedulerAttributes {
            policy,
            runtime_nanoseconds,
            nice: 5,
            ..SchedulerAttributes::default()
        };
        let set = |policy, runtime, offline| {
            changed(task(policy, runtime), offline).map(|task| (task.runtime_nanoseconds, task.nice))
        };
        assert_eq!(set(SCHED_OTHER, 2_800_000, true), Some((OFFLINE_NANOSECONDS, 5)));
        assert_eq!(set(SCHED_BATCH, 2_800_000, true), Some((OFFLINE_NANOSECONDS, 5)));
        assert_eq!(set(SCHED_OTHER, OFFLINE_NANOSECONDS, true), None);
        assert_eq!(set(SCHED_OTHER, OFFLINE_NANOSECONDS, false), Some((0, 5)));
        assert_eq!(set(SCHED_OTHER, 2_800_000, false), None);
        // SCHED_FIFO.
        assert_eq!(set(1, 0, true), None);
    }

    #[test]
    fn this_kernels_attributes_of_a_task_can_be_read_and_written_back() {
        let own = sys::scheduler_of(0).unwrap();
        assert_eq!(own.policy, SCHED_OTHER);
        sys::set_scheduler_of(0, &SchedulerAttributes { runtime_nanoseconds: 0, ..own }).unwrap();
    }
}
