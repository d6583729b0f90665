//! The user-mode Linux kernel: which package, from where, unpacked with the C library it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cache;
use super::layout::Layout;
use super::mirror;
use super::rootfs;
use crate::progress::{Progress, StepLog};

/// Runs processes under a seccomp filter, twice as fast as ptrace; since Linux 6.16, which no stable release of Debian has.
/// Versions come and go in the suites that have it: when this one is gone, the newest there takes its place, and when
/// none is left, [`KernelChoice::Stable`].
const FAST_VERSION: &str = "7.2um1";
const FAST_SUITES: [&str; 2] = ["forky", "sid"];

/// Debian 12's 6.1. Before 6.16 user-mode Linux cannot hold the floating-point state of CPUs with AMX (`ptrace set fp
/// regs failed, errno = 14`), so this one does not boot on them, nor does Debian 13's 6.12.
const STABLE_SUITE: &str = "bookworm";

/// Changes when the unpacked directory gets other contents.
const LAYOUT: &str = "2";

/// Which kernel the node runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KernelChoice {
    /// The fastest one available.
    #[default]
    Fast,
    /// Linux 6.1: half as fast, not for CPUs with AMX, but with iptables' NAT (host ports, masquerading).
    Stable,
}

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Holds `usr/bin/linux.uml`, `usr/lib/uml/modules` and the C library.
    pub directory: PathBuf,
    /// The kernel's arguments for its way of running processes.
    pub execution: &'static [&'static str],
}

/// Unpacks the chosen kernel, once.
///
/// # Errors
/// When no suite has one, or unpacking fails.
pub fn prepare(layout: &Layout, progress: &Progress, choice: KernelChoice, tree: &Path) -> Result<Kernel> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("user-mode Linux exists for x86_64 only");
    }
    if choice == KernelChoice::Fast {
        let directory = layout.node().join(format!("kernel-{FAST_VERSION}-{LAYOUT}"));
        let fast = unpack_once(layout, progress, &directory, tree, |log| {
            download(layout, log, &FAST_SUITES, Some(FAST_VERSION))
                .or_else(|_| download(layout, log, &FAST_SUITES, None))
        });
        match fast {
            Ok(()) => return Ok(Kernel { directory, execution: &["seccomp=on"] }),
            Err(error) => eprintln!("  the fast kernel is not available, using the stable one: {error:#}"),
        }
    }
    let directory = layout.node().join(format!("kernel-{STABLE_SUITE}-{LAYOUT}"));
    unpack_once(layout, progress, &directory, tree, |log| download(layout, log, &[STABLE_SUITE], None))?;
    Ok(Kernel { directory, execution: &[] })
}

fn unpack_once(
    layout: &Layout,
    progress: &Progress,
    directory: &Path,
    tree: &Path,
    download: impl FnOnce(&mut StepLog) -> Result<PathBuf>,
) -> Result<()> {
    if directory.exists() {
        return Ok(());
    }
    progress.step("kernel", |log| {
        let package = download(log)?;
        let fresh = layout.node().join("kernel.new");
        cache::remove(&fresh)?;
        log.run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&fresh))?;
        copy_libraries(tree, &fresh)?;
        fs::rename(&fresh, directory).with_context(|| format!("create {}", directory.display()))?;
        cache::remove(&package)
    })
}

/// The kernel runs in a root directory of its own, with the node's C library: the host's may be too old for it.
fn copy_libraries(tree: &Path, kernel: &Path) -> Result<()> {
    let multiarch = "lib/x86_64-linux-gnu";
    for (from, to) in [
        (format!("usr/{multiarch}/libc.so.6"), format!("{multiarch}/libc.so.6")),
        // The C library loads it when a thread is cancelled, which the kernel does when it ends.
        (format!("usr/{multiarch}/libgcc_s.so.1"), format!("{multiarch}/libgcc_s.so.1")),
        (format!("usr/{multiarch}/ld-linux-x86-64.so.2"), "lib64/ld-linux-x86-64.so.2".to_owned()),
    ] {
        let (from, to) = (tree.join(from), kernel.join(to));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
    }
    Ok(())
}

/// Downloads and verifies the package with a private apt state: the machine's own sources stay as they are.
fn download(layout: &Layout, log: &mut StepLog, suites: &[&str], version: Option<&str>) -> Result<PathBuf> {
    let state = layout.node().join("apt");
    cache::remove(&state)?;
    for directory in ["lists/partial", "cache/archives/partial", "download"] {
        let path = state.join(directory);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    let mirror = mirror::uri()?;
    let sources = suites
        .iter()
        .map(|suite| format!("deb [arch=amd64 signed-by={}] {mirror} {suite} main\n", rootfs::KEYRING))
        .collect::<String>();
    fs::write(state.join("sources.list"), sources).context("write the package sources")?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{key}={}", state.join(value).display()));
        }
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root"]);
        command.args(["-o", "Acquire::Languages=none", "-o", "APT::Architecture=amd64"]);
        command.args(arguments).current_dir(state.join("download"));
        command
    };
    log.run(&mut apt(&["update"]))?;
    let package =
        version.map_or_else(|| "user-mode-linux".to_owned(), |version| format!("user-mode-linux={version}"));
    log.run(&mut apt(&["download", &package]))?;
    let mut files = fs::read_dir(state.join("download")).context("read the download directory")?;
    match files.next() {
        Some(Ok(entry)) => Ok(entry.path()),
        _ => bail!("apt-get download left no file"),
    }
}
