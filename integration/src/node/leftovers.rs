//! Names of what a node puts on the machine, which tell whose it is, so that what a killed process left behind is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

const PREFIX: &str = "ballast-node-";

/// A name that no other node has, now or in another process.
pub(crate) fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What in `directory` has such a name and belonged to a process that is gone.
pub(crate) fn of_dead_processes(directory: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("read {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        if owner(&entry.file_name().to_string_lossy()).is_some_and(|pid| !is_alive(pid)) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn owner(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process_and_other_names_are_nobodys() {
        assert_eq!(owner(&new_name()), Some(std::process::id()));
        for other in ["ballast-node-12", "ballast-node-x-1", "ballast-node-1-", "other-1-1"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_dead_processes_left_is_found() {
        let directory = std::env::temp_dir().join(format!("ballast-leftovers-{}", std::process::id()));
        // Beyond the largest process id.
        let stale = directory.join("ballast-node-4194305-1");
        for path in [&stale, &directory.join(new_name())] {
            fs::create_dir_all(path).unwrap();
        }
        assert_eq!(of_dead_processes(&directory).unwrap(), [stale]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
