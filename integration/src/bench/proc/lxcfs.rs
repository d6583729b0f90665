//! lxcfs as Debian has it, unpacked and not installed: it would start a daemon on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;

/// The package, and the library that it needs beside the C library.
const PACKAGES: [&str; 2] = ["lxcfs", "libfuse3-3"];

/// The directory below the programs' in which it is unpacked, and the file with its version.
pub(super) const DIRECTORY: &str = "lxcfs";
pub(super) const VERSION: &str = "lxcfs.version";

/// Downloads and unpacks it where that has not been done.
pub(super) fn fetch(programs: &Path, progress: &Progress) -> Result<()> {
    let (directory, version) = (programs.join(DIRECTORY), programs.join(VERSION));
    if version.exists() {
        return Ok(());
    }
    progress.step("lxcfs", |log| {
        let archives = programs.join("archives");
        fs::create_dir_all(&archives).with_context(|| format!("create {}", archives.display()))?;
        log.run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&archives))?;
        let mut found = String::new();
        for entry in fs::read_dir(&archives).context("list the packages")? {
            let archive = entry?.path();
            log.run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&directory))?;
            // NAME_VERSION_ARCHITECTURE.deb
            let name = archive.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(rest) = name.strip_prefix("lxcfs_") {
                found = rest.split('_').next().unwrap_or_default().to_owned();
            }
        }
        fs::remove_dir_all(&archives).context("remove the packages")?;
        fs::write(&version, found).with_context(|| format!("write {}", version.display()))
    })
}
