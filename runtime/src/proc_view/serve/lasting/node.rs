//! Files and directories about CPUs, and how they are numbered within a container's directory: an id says what the node is, so
//! nothing is remembered.

use super::super::directory::ITSELF;
use crate::proc_view::ViewFile;
use crate::proc_view::render::{CPU_TOPOLOGY, CpuTopology};

/// What there is to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// The container's directory, in which the next two are.
    Itself,
    /// `/proc/cpuinfo`
    CpuInfo,
    /// `/sys/devices/system/cpu`, and all others below it.
    Cpus,
    /// `online` and its like.
    List(ViewFile),
    /// What is the machine's whoever looks, by its position in [`MACHINE_FILES`].
    Machine(u8),
    /// `vulnerabilities`
    Vulnerabilities,
    /// One of them, by its position in the host's directory.
    Vulnerability(u8),
    /// `cpuN`
    Cpu(u32),
    /// `cpuN/online`
    CpuOnline(u32),
    /// `cpuN/topology`
    Topology(u32),
    /// A file of it.
    TopologyFile(u32, &'static (&'static str, CpuTopology)),
    /// `cpuN/cache`
    Caches(u32),
    /// `cpuN/cache/indexM`
    Cache(u32, u8),
    /// A file of it, by its position in [`CACHE_FILES`].
    CacheFile(u32, u8, u8),
}

/// Files of `/sys/devices/system/cpu` that tell of the machine, or of settings that no container has.
pub(super) const MACHINE_FILES: [(&str, MachineFile); 4] = [
    ("isolated", MachineFile::NoCpus),
    ("kernel_max", MachineFile::Host),
    ("modalias", MachineFile::Host),
    ("nohz_full", MachineFile::NoCpus),
];

/// What such a file says, where the host has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MachineFile {
    /// The list of no CPU.
    NoCpus,
    /// What the host's says.
    Host,
}

/// Files of `cpuN/cache/indexM` (`Documentation/ABI/testing/sysfs-devices-system-cpu`).
pub(super) const CACHE_FILES: [&str; 10] = [
    "coherency_line_size",
    "id",
    "level",
    "number_of_sets",
    "physical_line_partition",
    "shared_cpu_list",
    "shared_cpu_map",
    "size",
    "type",
    "ways_of_associativity",
];

impl Node {
    /// Its id among the nodes of its directory, in forty bits: kind, what is counted within it, the CPU.
    pub(super) fn id(self) -> u64 {
        let (kind, first, second, cpu) = match self {
            Self::Itself => return ITSELF,
            Self::CpuInfo => (2, 0, 0, 0),
            Self::Cpus => (3, 0, 0, 0),
            Self::List(file) => (4, position(&ViewFile::ALL, &file), 0, 0),
            Self::Machine(file) => (5, file, 0, 0),
            Self::Vulnerabilities => (6, 0, 0, 0),
            Self::Vulnerability(name) => (7, name, 0, 0),
            Self::Cpu(cpu) => (8, 0, 0, cpu),
            Self::CpuOnline(cpu) => (9, 0, 0, cpu),
            Self::Topology(cpu) => (10, 0, 0, cpu),
            Self::TopologyFile(cpu, file) => (11, position(&CPU_TOPOLOGY, file), 0, cpu),
            Self::Caches(cpu) => (12, 0, 0, cpu),
            Self::Cache(cpu, index) => (13, index, 0, cpu),
            Self::CacheFile(cpu, index, file) => (14, index, file, cpu),
        };
        // No kind is beyond 15, nor is a second count; no machine has 16 million CPUs.
        let [a, b, c, _] = cpu.to_le_bytes();
        u64::from_le_bytes([kind | second << 4, first, a, b, c, 0, 0, 0])
    }

    /// What an id stands for.
    pub(super) fn of(id: u64) -> Option<Self> {
        let [kind_and_second, first, a, b, c, _, _, _] = id.to_le_bytes();
        let (kind, second) = (kind_and_second & 0xf, kind_and_second >> 4);
        let cpu = u32::from_le_bytes([a, b, c, 0]);
        Some(match kind {
            1 => Self::Itself,
            2 => Self::CpuInfo,
            3 => Self::Cpus,
            4 => Self::List(*ViewFile::ALL.get(usize::from(first))?),
            5 => Self::Machine(first),
            6 => Self::Vulnerabilities,
            7 => Self::Vulnerability(first),
            8 => Self::Cpu(cpu),
            9 => Self::CpuOnline(cpu),
            10 => Self::Topology(cpu),
            11 => Self::TopologyFile(cpu, CPU_TOPOLOGY.get(usize::from(first))?),
            12 => Self::Caches(cpu),
            13 => Self::Cache(cpu, first),
            14 => Self::CacheFile(cpu, first, second),
            _ => return None,
        })
    }

    pub(super) const fn is_directory(self) -> bool {
        use Node::{Cache, Caches, Cpu, Cpus, Itself, Topology, Vulnerabilities};
        matches!(self, Itself | Cpus | Vulnerabilities | Cpu(_) | Topology(_) | Caches(_) | Cache(..))
    }

    /// The CPU that it belongs to.
    pub(super) const fn cpu(self) -> Option<u32> {
        use Node::{Cache, CacheFile, Caches, Cpu, CpuOnline, Topology, TopologyFile};
        match self {
            Cpu(cpu) | CpuOnline(cpu) | Topology(cpu) | Caches(cpu) => Some(cpu),
            TopologyFile(cpu, _) | Cache(cpu, _) | CacheFile(cpu, _, _) => Some(cpu),
            _ => None,
        }
    }
}

fn position<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let position = all.iter().position(|known| known == one).unwrap_or_default();
    u8::try_from(position).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_the_node_is() {
        let lists = ViewFile::ALL.map(Node::List);
        let topology = CPU_TOPOLOGY.iter().map(|file| Node::TopologyFile(70_000, file));
        let others = [
            Node::Itself,
            Node::CpuInfo,
            Node::Cpus,
            Node::Machine(1),
            Node::Vulnerabilities,
            Node::Vulnerability(19),
            Node::Cpu(0),
            Node::Cpu(127),
            Node::CpuOnline(3),
            Node::Topology(3),
            Node::Caches(3),
            Node::Cache(3, 2),
            Node::CacheFile(3, 2, 9),
        ];
        for node in lists.into_iter().chain(topology).chain(others) {
            assert_eq!(Node::of(node.id()), Some(node));
        }
        assert_eq!(Node::of(0), None);
        assert_eq!(Node::of(u64::MAX), None);
    }
}
