//! `oom_score_adj` of a container's processes: what kubelet chose by their class, raised for those of low priority, so that the
//! kernel kills them first. Raising takes no privilege; nobody's is ever lowered below what was chosen.

use crate::error::{CallContext, Error};
use crate::runtime::Runtime;
use ballast_cgroups::Cgroup;
use ballast_cgroups::priority::Level;
use rustix::io::Errno;

const FILE: &str = "oom_score_adj";

/// The greatest value, of who is killed first (`OOM_SCORE_ADJ_MAX`).
const MOST: i32 = 1000;

/// Processes that fork while they are changed are found in the next round; there is always a last one that forks no more, or
/// that no round would catch.
const ROUNDS: usize = 8;

/// What containerd gives a pod's sandbox, below anything that kubelet gives a container: killing it frees nothing, and ends the pod.
const SANDBOX: i32 = -998;

/// `given` on its way to the greatest value, as far as the level is on its way to the lowest. A sandbox keeps its own.
pub(super) fn raised(given: i32, level: Level) -> i32 {
    if given <= SANDBOX {
        return given;
    }
    let (level, lowest) = (i32::from(level.number()), i32::from(Level::OFFLINE.number()));
    given + (MOST - given) * level / lowest
}

/// What a process has.
pub(super) fn of(runtime: &Runtime, pid: u32) -> Result<i32, Error> {
    let content = runtime.read_proc(pid, FILE)?;
    Ok(content
        .trim_end()
        .parse()
        .map_err(|_| Errno::PROTO)
        .call("read", || format!("/proc/{pid}/{FILE}, {content:?}"))?)
}

/// Gives a process another one.
pub(super) fn set(runtime: &Runtime, pid: u32, score: i32) -> Result<(), Error> {
    runtime.write_proc(pid, FILE, &score.to_string())
}

/// Changes the processes that have `old`, which is what they were born with, to `new`. One that chose another value itself
/// keeps it, and one that has ended is passed over.
///
/// # Errors
/// When the kernel refuses: going down again takes `CAP_SYS_RESOURCE`.
pub(super) fn change(runtime: &Runtime, cgroup: &Cgroup, old: i32, new: i32) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        let mut changed = 0;
        for pid in cgroup.processes()? {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if of(runtime, pid).is_ok_and(|current| current == old) {
                match set(runtime, pid, new) {
                    Err(_) if of(runtime, pid).is_err() => {}
                    done => done?,
                }
                changed += 1;
            }
        }
        if changed == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_the_priority_the_sooner_it_is_killed_and_never_later_than_kubelet_said() {
        for given in [-997, 0, 2, 900, 1000] {
            let scores: Vec<i32> = Level::ALL.iter().map(|level| raised(given, *level)).collect();
            assert!(scores.is_sorted(), "{scores:?}");
            assert_eq!((scores[0], scores[7]), (given, 1000));
        }
        assert_eq!(raised(900, Level::new(3).unwrap()), 942);
        assert_eq!(raised(-997, Level::new(1).unwrap()), -712);
    }

    #[test]
    fn a_sandbox_which_holds_nothing_is_not_killed_for_its_pods_priority() {
        for given in [-998, -999, -1000] {
            assert_eq!(raised(given, Level::OFFLINE), given);
        }
    }
}
