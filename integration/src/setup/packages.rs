//! The Debian packages that this machine needs, installed when missing.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};

use crate::images;
use crate::progress::Progress;
use crate::tools;

/// What the node and Rust's static builds need; the tools and images name their own.
const PACKAGES: &[(&str, &str)] = &[
    ("crun", "a yardstick of the benchmarks"),
    ("debian-archive-keyring", "checks what is downloaded for the node"),
    ("e2fsprogs", "makes the node's disk"),
    ("gcc", "links Rust programs"),
    ("libc6-dev", "the static C library for Ballast's binary"),
    ("mmdebstrap", "builds the node's Debian tree"),
    ("procps", "reads the views of /proc that tests make"),
    ("protobuf-compiler", "generates containerd's interfaces"),
    ("util-linux", "starts the node's kernel in namespaces of its own"),
];

/// Everything, each package once, with the first reason given for it.
fn required() -> BTreeMap<&'static str, &'static str> {
    let lists = [PACKAGES, tools::REQUIRED_PACKAGES, images::REQUIRED_PACKAGES];
    lists.into_iter().flatten().rev().copied().collect()
}

/// Installs what is missing of what everything here needs, saying what and why.
///
/// # Errors
/// As [`install`].
pub fn install_missing(progress: &Progress) -> Result<()> {
    install(progress, &required().into_iter().collect::<Vec<_>>())
}

/// Installs what is missing of packages and the reasons for them, saying what and why.
///
/// # Errors
/// When apt-get fails: no network, or not root.
pub fn install(progress: &Progress, packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = packages.iter().filter(|(name, _)| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("  installs these Debian packages on this machine:");
    for (name, purpose) in &missing {
        eprintln!("    {name:<24} {purpose}");
    }
    progress.step("packages", |log| {
        let install = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
                .args(["install", "--yes", "--no-install-recommends"])
                .args(missing.iter().map(|(name, _)| name));
            command
        };
        // Package lists that are missing or old make the first attempt fail; only then are they fetched.
        if log.run(&mut install()).is_ok() {
            return Ok(());
        }
        log.run(Command::new("apt-get").arg("update"))?;
        log.run(&mut install()).context("are you root, on Debian, with a network?")
    })
}

fn installed(package: &str) -> bool {
    let query =
        Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}", package]).output();
    query.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}
