//! `cargo xtask emulate`: the runtime's own tests, with real containers, on a kernel that has what user-mode Linux lacks: four CPUs in two
//! cores, the cpuset controller, pressure stall information, 32-bit programs. QEMU emulates the machine, so that no KVM is needed; the kernel is
//! Debian's for clouds. There is no containerd here: an emulated machine is some thirty times slower than a real one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::progress::{Progress, StepLog};
use crate::setup::cargo::{self, Kind};
use crate::setup::layout::Layout;
use crate::setup::{self, cache, packages};

/// What the machine needs for this alone.
const PACKAGES: &[(&str, &str)] = &[("qemu-system-x86", "emulates a machine for a stock kernel")];

/// The package that depends on the kernel for clouds: it finds its disk without an initramfs.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Kernel modules that containers need, in `kernel/fs`.
const MODULES: [&str; 2] = ["fuse/fuse.ko", "overlayfs/overlay.ko"];

/// The suite that runs there, a file of the runtime's `tests`.
const SUITE: &str = "containers";

/// All that the emulator knows, as an Intel CPU: an emulated AMD one has no threads.
const CPU: &str = "max,vendor=GenuineIntel";

/// Two cores of two threads each: CPUs are chosen by core, and core scheduling is tested where the kernel has it (Debian's has not).
const TOPOLOGY: &str = "4,sockets=1,cores=2,threads=2";

/// What the guest says last, before the suite's exit status.
const VERDICT: &str = "the suite ended with status ";

/// What the whole run gets: many times what it takes.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Sparse, so that it costs what is in it.
const DISK_SIZE: &str = "2G";

/// Runs the suite with these arguments, for a filter above all; whether it passed.
///
/// # Errors
/// When the machine cannot be made, or ends without a verdict.
pub fn run(layout: &Layout, progress: &Progress, arguments: &[String]) -> Result<bool> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the emulated machine is an x86_64 one, and this is none");
    }
    let tree = setup::tree(layout, progress)?.debian;
    packages::install(progress, PACKAGES)?;
    let suite = progress.step("build tests", |log| build(layout, log))?;
    let kernel = progress.step("kernel to emulate", |log| kernel(layout, log))?;
    let disk = layout.node().join("emulator.ext4");
    progress
        .step("emulator's disk", |log| make_disk(layout, log, &tree, &kernel, &suite, arguments, &disk))?;
    let verdict = emulate(&kernel, &disk);
    cache::remove(&disk)?;
    verdict
}

fn build(layout: &Layout, log: &mut StepLog) -> Result<PathBuf> {
    let built = cargo::build_static(layout, log, &["test", "--no-run", "--workspace", "--test", SUITE])?;
    let suite = built.into_iter().find(|built| built.kind == Kind::IntegrationTest && built.name == SUITE);
    suite.map(|suite| suite.path).ok_or_else(|| anyhow!("cargo built no {SUITE}"))
}

/// An unpacked kernel package.
struct Kernel {
    image: PathBuf,
    /// `/lib/modules/<release>/kernel/fs`.
    modules: PathBuf,
}

/// Downloads and unpacks the kernel of this machine's Debian release, once per version.
fn kernel(layout: &Layout, log: &mut StepLog) -> Result<Kernel> {
    let depends = log.capture(Command::new("apt-cache").args(["depends", KERNEL]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let release = package.with_context(|| format!("{KERNEL} depends on no kernel; apt-get update?"))?;
    let directory = layout.node().join(format!("emulated-kernel-{release}"));
    if !directory.exists() {
        let download = layout.node().join("emulated-kernel.new");
        cache::remove(&download)?;
        fs::create_dir_all(&download).with_context(|| format!("create {}", download.display()))?;
        let package = format!("linux-image-{release}");
        let apt = ["-o", "APT::Sandbox::User=root", "download", &package];
        log.run(Command::new("apt-get").args(apt).current_dir(&download))?;
        let unpack = "dpkg-deb --extract linux-image-*.deb . && rm linux-image-*.deb";
        log.run(Command::new("sh").args(["-c", unpack]).current_dir(&download))?;
        fs::rename(&download, &directory).with_context(|| format!("create {}", directory.display()))?;
    }
    Ok(Kernel {
        image: directory.join(format!("boot/vmlinuz-{release}")),
        modules: directory.join(format!("lib/modules/{release}/kernel/fs")),
    })
}

/// A disk with the node's Debian, the suite, the modules and what starts it all.
fn make_disk(
    layout: &Layout,
    log: &mut StepLog,
    tree: &Path,
    kernel: &Kernel,
    suite: &Path,
    arguments: &[String],
    disk: &Path,
) -> Result<()> {
    let stage = layout.node().join("emulator-stage");
    cache::remove(&stage)?;
    log.run(Command::new("cp").args(["--archive", "--link"]).arg(tree).arg(&stage))?;
    let place = |path: &str| stage.join(path);
    fs::create_dir_all(place("suite/modules")).context("stage the suite")?;
    log.run(Command::new("strip").arg("-o").arg(place("suite/program")).arg(suite))?;
    for module in MODULES {
        // Some releases compress them.
        let pattern =
            format!("cp {}* {}", kernel.modules.join(module).display(), place("suite/modules").display());
        log.run(Command::new("sh").args(["-c", &pattern]))?;
    }
    let lines: String = arguments.iter().map(|argument| format!("{argument}\n")).collect();
    fs::write(place("suite/arguments"), lines).context("stage the suite's arguments")?;
    fs::write(place("suite/init"), include_str!("../guest/emulated-init.sh")).context("stage the start")?;
    cache::remove(disk)?;
    log.run(
        Command::new("mkfs.ext4")
            .args(["-q", "-O", "^has_journal", "-d"])
            .arg(&stage)
            .arg(disk)
            .arg(DISK_SIZE),
    )?;
    cache::remove(&stage)
}

/// Boots, shows what the suite prints, and returns whether it passed.
fn emulate(kernel: &Kernel, disk: &Path) -> Result<bool> {
    let mut machine = Command::new("setpriv");
    machine
        .args(["--pdeathsig", "KILL", "timeout", "--signal=KILL"])
        .arg(DEADLINE.as_secs().to_string())
        // Once more for the machine itself, whose parent is timeout.
        .args(["setpriv", "--pdeathsig", "KILL"])
        .args([
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            CPU,
            "-smp",
            TOPOLOGY,
        ])
        .args(["-m", "2048", "-nographic", "-no-reboot", "-nic", "none", "-kernel"])
        .arg(&kernel.image)
        .args([
            "-append",
            "console=ttyS0 root=/dev/nvme0n1 rw init=/bin/sh quiet psi=1 panic=-1 -- /suite/init",
        ])
        .arg("-drive")
        .arg(format!("file={},if=none,id=disk,format=raw", disk.display()))
        .args(["-device", "nvme,drive=disk,serial=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut machine = machine.spawn().context("start qemu-system-x86_64")?;
    let console = machine.stdout.take().context("the console has no pipe")?;
    let mut verdict = None;
    let mut lines = BufReader::new(console);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).context("read the console")? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some((_, status)) = text.split_once(VERDICT) {
            verdict = Some(status.trim() == "0");
        }
        std::io::stdout().write_all(&line).context("show the console")?;
        line.clear();
    }
    let status = machine.wait().context("wait for qemu-system-x86_64")?;
    verdict.ok_or_else(|| anyhow!("the emulated machine ended before its suite ({status})"))
}
