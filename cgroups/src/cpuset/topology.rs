//! Which CPUs are threads of one core (Linux `Documentation/admin-guide/cputopology.rst`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::cpu_list::CpuList;

/// Each CPU's core. A CPU that is not known is a core of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTopology(BTreeMap<u32, u32>);

impl CpuTopology {
    /// From pairs of a CPU and the number that its core has among all of the machine.
    pub fn new(cores: impl IntoIterator<Item = (u32, u32)>) -> Self {
        Self(cores.into_iter().collect())
    }

    /// Reads the lists of siblings below a directory like `/sys/devices/system/cpu`: a core is known by its first thread.
    pub(super) fn read(directory: &Path, cpus: &CpuList) -> Self {
        let core = |cpu: u32| {
            let path = directory.join(format!("cpu{cpu}/topology/thread_siblings_list"));
            let siblings = CpuList::parse(&std::fs::read_to_string(path).ok()?)?;
            let first = siblings.iter().next()?;
            Some((cpu, first))
        };
        Self::new(cpus.iter().filter_map(core))
    }

    pub(super) fn core(&self, cpu: u32) -> u32 {
        self.0.get(&cpu).copied().unwrap_or(cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_share_their_first_threads_number_and_unknown_cpus_are_alone() {
        let root = tempfile::tempdir().unwrap();
        for (cpu, siblings) in [(0, "0,2\n"), (1, "1,3\n"), (2, "0,2\n")] {
            let topology = root.path().join(format!("cpu{cpu}/topology"));
            std::fs::create_dir_all(&topology).unwrap();
            std::fs::write(topology.join("thread_siblings_list"), siblings).unwrap();
        }
        let topology = CpuTopology::read(root.path(), &CpuList::first(4));
        assert_eq!([0, 1, 2, 3].map(|cpu| topology.core(cpu)), [0, 1, 0, 3]);
    }
}
