//! The node's root file system: a Debian tree, and from it an ext4 image with the kernel's modules, the agent and
//! the configuration under `integration/guest/files`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{self, Key};
use super::kernel::Kernel;
use super::layout::Layout;
use super::mirror;
use crate::images;
use crate::node::Init;
use crate::progress::Progress;
use crate::tools::ContainerdLine;

/// The Debian release that the node runs.
pub(crate) const SUITE: &str = "trixie";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is on the node, and why.
const PACKAGES: [(&str, &str); 15] = [
    ("apparmor", "critest loads profiles"),
    ("ca-certificates", "Go programs expect it"),
    ("crun", "the second yardstick"),
    ("dbus", "the systemd-booting variant"),
    ("e2fsprogs", "file systems for quota and io tests"),
    ("iproute2", "networks of pods"),
    ("iptables", "the CNI plugins call it"),
    ("kmod", "the kernel loads modules through it"),
    ("libseccomp2", "runc is linked with it"),
    ("mount", "tests mount"),
    ("nftables", "the CNI plugins' other way"),
    ("procps", "tests look at processes"),
    ("strace", "finding out what went wrong"),
    ("sudo", "critest's AppArmor specs call it"),
    ("systemd-sysv", "the systemd-booting variant"),
];

/// The image's size; sparse, so that it costs what is in it.
const IMAGE_SIZE: &str = "12G";

/// Trees and images that are kept.
const KEPT: usize = 5;

/// Where the node's image registry listens.
pub(crate) const REGISTRY_ADDRESS: &str = "127.0.0.1:5000";
/// Where the images are on the node.
pub(crate) const REGISTRY_ROOT: &str = "/srv/registry";
/// The registry's configuration file on the node.
pub(crate) const REGISTRY_CONFIGURATION_PATH: &str = "/etc/registry.yml";

/// containerd's configurations, and those of the same names for systemd as PID 1.
const CONTAINERD_CONFIGURATIONS: &str = "etc/containerd";
const CONTAINERD_CONFIGURATIONS_FOR_SYSTEMD: &str = "etc/containerd-systemd";

/// containerd's configuration file on the node.
pub(crate) fn containerd_configuration_path(line: ContainerdLine, init: Init) -> String {
    let directory = match init {
        Init::Agent => CONTAINERD_CONFIGURATIONS,
        Init::Systemd => CONTAINERD_CONFIGURATIONS_FOR_SYSTEMD,
    };
    format!("/{directory}/{}", containerd_configuration_name(line))
}

fn containerd_configuration_name(line: ContainerdLine) -> &'static str {
    match line {
        ContainerdLine::V2 => "config.toml",
        ContainerdLine::V1_7 => "config-1.7.toml",
    }
}

/// Derives what differs: the cgroup driver of each runtime.
fn write_configurations_for_systemd(stage: &Path) -> Result<()> {
    for line in [ContainerdLine::V2, ContainerdLine::V1_7] {
        let name = containerd_configuration_name(line);
        let path = stage.join(CONTAINERD_CONFIGURATIONS).join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let text = text.replace("SystemdCgroup = false", "SystemdCgroup = true");
        write(stage, &format!("{CONTAINERD_CONFIGURATIONS_FOR_SYSTEMD}/{name}"), &text)?;
    }
    Ok(())
}

fn registry_configuration() -> String {
    images::registry_configuration(REGISTRY_ROOT, REGISTRY_ADDRESS)
}

/// Writes a file of the node's, given by its path there.
fn write(stage: &Path, path: &str, content: &str) -> Result<()> {
    let path = stage.join(path.trim_start_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    // Replaced, not written through: it can be a link to the tree's file.
    cache::remove(&path)?;
    fs::write(&path, content).with_context(|| format!("write {}", path.display()))
}

/// Builds the Debian tree, once per package list.
///
/// # Errors
/// When mmdebstrap fails.
pub fn prepare_tree(layout: &Layout, progress: &Progress) -> Result<PathBuf> {
    let names = PACKAGES.map(|(name, _)| name).join(",");
    let key = Key::default().with("1").with(SUITE).with(&names).finish();
    let tree = layout.node().join(format!("tree-{key}"));
    if !tree.exists() {
        progress.step("root file system", |log| {
            let fresh = layout.node().join("new-tree");
            cache::remove(&fresh)?;
            let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main", mirror::uri()?);
            log.run(
                Command::new("mmdebstrap")
                    .args(["--mode=root", "--variant=minbase"])
                    .arg(format!("--include={names}"))
                    .arg(format!("--keyring={KEYRING}"))
                    .arg("--dpkgopt=path-exclude=/usr/share/man/*")
                    .arg("--dpkgopt=path-exclude=/usr/share/doc/*")
                    .arg("--dpkgopt=path-exclude=/usr/share/locale/*")
                    .arg(SUITE)
                    .arg(&fresh)
                    .arg(source),
            )?;
            fs::rename(&fresh, &tree).with_context(|| format!("create {}", tree.display()))
        })?;
    }
    cache::mark_used(&tree)?;
    cache::remove_unused(layout.node(), "tree-", KEPT)?;
    Ok(tree)
}

/// Puts together what is laid over the tree, once per agent and configuration.
///
/// # Errors
/// When a file cannot be copied.
pub fn prepare_files(layout: &Layout, progress: &Progress, agent: &Path) -> Result<PathBuf> {
    let source = layout.workspace().join("integration/guest/files");
    let key = Key::default()
        .with("2")
        .with_tree(&source)?
        .with_tree(agent)?
        .with(images::hosts_toml(REGISTRY_ADDRESS))
        .with(registry_configuration())
        .finish();
    let files = layout.node().join(format!("files-{key}"));
    if !files.exists() {
        progress.step("node files", |log| {
            let fresh = layout.node().join("new-files");
            cache::remove(&fresh)?;
            let copy = ["--recursive", "--preserve=mode,links"];
            log.run(Command::new("cp").args(copy).arg(&source).arg(&fresh))?;
            write(&fresh, images::HOSTS_TOML_PATH, &images::hosts_toml(REGISTRY_ADDRESS))?;
            write(&fresh, REGISTRY_CONFIGURATION_PATH, &registry_configuration())?;
            write_configurations_for_systemd(&fresh)?;
            log.run(Command::new("install").arg("-D").arg(agent).arg(fresh.join("usr/sbin/node-agent")))?;
            let link = fresh.join("usr/local/bin/node-containerd");
            log.run(Command::new("install").arg("-d").arg(fresh.join("usr/local/bin")))?;
            log.run(Command::new("ln").args(["-s", "/usr/sbin/node-agent"]).arg(&link))?;
            fs::rename(&fresh, &files).with_context(|| format!("create {}", files.display()))
        })?;
    }
    cache::mark_used(&files)?;
    cache::remove_unused(layout.node(), "files-", KEPT)?;
    Ok(files)
}

/// Builds the image, once per tree, kernel and files.
///
/// # Errors
/// When a file cannot be staged or mkfs.ext4 fails.
pub fn prepare_image(
    layout: &Layout,
    progress: &Progress,
    tree: &Path,
    files: &Path,
    kernel: &Kernel,
) -> Result<PathBuf> {
    let name =
        |path: &Path| path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let kernel_name = String::from_utf8_lossy(&name(&kernel.directory)).into_owned();
    let key = Key::default().with("2").with(name(tree)).with(name(files)).with(IMAGE_SIZE).finish();
    let image = layout.node().join(format!("image-{kernel_name}-{key}.ext4"));
    if !image.exists() {
        progress.step("node image", |log| {
            let stage = layout.node().join("new-stage");
            cache::remove(&stage)?;
            log.run(Command::new("cp").args(["--archive", "--link"]).arg(tree).arg(&stage))?;
            let modules = kernel.directory.join("usr/lib/uml/modules");
            let target = stage.join("usr/lib/modules");
            log.run(Command::new("cp").args(["--archive", "--link"]).arg(&modules).arg(&target))?;
            // Replaces, never writes through: the stage's files are links to the tree's.
            let copy = ["--archive", "--remove-destination", "--no-preserve=ownership"];
            log.run(Command::new("cp").args(copy).arg(files.join(".")).arg(&stage))?;
            let fresh = layout.node().join("new-image");
            cache::remove(&fresh)?;
            log.run(
                // No journal: the image is never written, and what a boot writes is thrown away.
                Command::new("mkfs.ext4")
                    .args([
                        "-q",
                        "-O",
                        "^has_journal",
                        "-E",
                        "root_owner=0:0",
                        "-m",
                        "0",
                        "-L",
                        "ballast-node",
                        "-d",
                    ])
                    .arg(&stage)
                    .arg(&fresh)
                    .arg(IMAGE_SIZE),
            )?;
            cache::remove(&stage)?;
            fs::rename(&fresh, &image).with_context(|| format!("create {}", image.display()))
        })?;
    }
    cache::mark_used(&image)?;
    cache::remove_unused(layout.node(), "image-", KEPT)?;
    Ok(image)
}
