//! Which of this machine's CPUs there are for a node's kernel, or for others that stay on one. Knows nothing of kernels.
//!
//! A user-mode kernel has one CPU, but is a process of this machine, and so is each process on it: every system call is a
//! message from one to the other and back. Where the two are on different CPUs, each message wakes an idle CPU, which takes
//! up to ten times as long as a change of processes, and differs from one machine to the next.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity};

/// The one for the boot with this number: the next boot has the next, so that two nodes at a time are not on one CPU.
pub(super) fn of_boot(number: u64) -> Result<usize> {
    chosen(&usable()?, number).context("no CPU is usable")
}

/// Those that this process may use, rising.
///
/// # Errors
/// When the kernel does not say.
pub fn usable() -> Result<Vec<usize>> {
    let usable = sched_getaffinity(None).context("ask which CPUs are usable")?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu)).collect())
}

fn chosen(usable: &[usize], number: u64) -> Option<usize> {
    let turn = number.checked_rem(usable.len() as u64)?;
    usable.get(usize::try_from(turn).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_in_a_row_are_on_different_cpus_of_those_that_are_usable() {
        let boots: Vec<_> = (4..9).map(|number| chosen(&[1, 3, 6], number)).collect();
        assert_eq!(boots, [Some(3), Some(6), Some(1), Some(3), Some(6)]);
    }

    #[test]
    fn a_boot_without_a_usable_cpu_is_an_error() {
        assert_eq!(chosen(&[], 3), None);
    }
}
