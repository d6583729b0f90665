//! What processes have dirtied, from `smaps_rollup`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::pod::Processes;

/// Kinds by their name in the results and in the file. `Pss_Dirty` counts also what a fork shares with its parent.
const KINDS: [(&str, &str); 2] = [("dirty", "Private_Dirty:"), ("dirty with shared", "Pss_Dirty:")];

/// Bytes by kind, of the shim and its spawner together.
pub(crate) fn of(processes: Processes) -> Result<BTreeMap<String, u64>> {
    let mut total = BTreeMap::new();
    for pid in [processes.shim, processes.spawner] {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        for (kind, field) in KINDS {
            let kibibytes: u64 = text
                .lines()
                .find_map(|line| line.strip_prefix(field))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .with_context(|| format!("{path} has no {field}"))?;
            *total.entry(kind.to_owned()).or_default() += kibibytes << 10;
        }
    }
    Ok(total)
}
