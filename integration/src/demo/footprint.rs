//! What a pod could leave behind on a node, counted.

use std::fmt;

use anyhow::{Context, Result};

use crate::node::Node;

/// Counts of everything that a pod makes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Footprint {
    processes: u64,
    mounts: u64,
    cgroups: u64,
    sockets: u64,
    bundles: u64,
    records: u64,
}

const COUNT: &str = "
pgrep -c -f containerd-shim-ballast
grep -c -E 'io.containerd.runtime|/run/netns' /proc/self/mountinfo
find /sys/fs/cgroup/kubepods -mindepth 1 -type d 2>/dev/null | grep -c poddemo/
find /run/containerd/s -type s 2>/dev/null | wc -l
find /run/containerd/io.containerd.runtime.v2.task -mindepth 2 -maxdepth 2 2>/dev/null | wc -l
find /run/ballast -type l 2>/dev/null | wc -l
";

impl Footprint {
    pub(super) fn of(node: &Node) -> Result<Self> {
        let output = node.command(["sh", "-c", COUNT]).output()?.stdout;
        let counts: Vec<u64> = output.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let [shells_and_processes, mounts, cgroups, sockets, bundles, records] =
            counts[..].try_into().with_context(|| format!("the node counted {output:?}"))?;
        // The counting shell has the name in its own command line.
        let processes = u64::saturating_sub(shells_and_processes, 1);
        Ok(Self { processes, mounts, cgroups, sockets, bundles, records })
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, mounts, cgroups, sockets, bundles, records } = self;
        write!(
            formatter,
            "{processes} processes, {mounts} mounts, {cgroups} cgroups, {sockets} sockets, {bundles} bundles, {records} records"
        )
    }
}
