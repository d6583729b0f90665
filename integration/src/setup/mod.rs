//! Makes a fresh Debian machine with git, Rust and Go able to run everything here. Each part is built once and
//! kept under `target/node`; a part whose inputs changed is built again.

pub mod ballast;
pub mod cache;
pub mod cargo;
pub mod kernel;
pub mod layout;
mod mirror;
pub mod packages;
pub mod rootfs;

use std::path::PathBuf;

use anyhow::Result;

use crate::images::{self, RegistryDirectory};
use crate::progress::Progress;
use crate::tools::{self, ContainerdLine, Tool, ToolPaths};
use ballast::Source;
use cache::Lock;
use kernel::{Kernel, KernelChoice};
use layout::Layout;

/// What a node's root file system is made of.
#[derive(Clone, Debug)]
pub struct Tree {
    /// A Debian tree.
    pub debian: PathBuf,
    /// What is laid over it: the agent and the configuration.
    pub files: PathBuf,
}

/// What a user-mode Linux node is made of.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The unpacked kernel.
    pub kernel: Kernel,
    /// The root file system.
    pub image: PathBuf,
}

/// Prepares a user-mode Linux node without container engine.
///
/// # Errors
/// The step that failed, with the path of its log.
pub fn guest(layout: &Layout, progress: &Progress, kernel: KernelChoice) -> Result<Guest> {
    let tree = tree(layout, progress)?;
    let _lock = lock(layout)?;
    let kernel = kernel::prepare(layout, progress, kernel, &tree.debian)?;
    let image = rootfs::prepare_image(layout, progress, &tree.debian, &tree.files, &kernel)?;
    Ok(Guest { kernel, image })
}

/// Prepares a root file system for this machine's kernel.
///
/// # Errors
/// The step that failed, with the path of its log.
pub fn tree(layout: &Layout, progress: &Progress) -> Result<Tree> {
    install_packages(layout, progress)?;
    let agent = progress.step("node agent", |log| {
        let arguments = ["build", "--package", "ballast-integration", "--bin", "node-agent"];
        cargo::find(&cargo::build_static(layout, log, &arguments)?, "node-agent")
    })?;
    let _lock = lock(layout)?;
    let debian = rootfs::prepare_tree(layout, progress)?;
    let files = rootfs::prepare_files(layout, progress, &agent)?;
    Ok(Tree { debian, files })
}

/// Not held while cargo or go build: they have locks of their own, and take long.
fn lock(layout: &Layout) -> Result<Lock> {
    Lock::acquire(&layout.node().join("lock"))
}

/// Installs the Debian packages that anything here needs; part of every other preparation.
///
/// # Errors
/// When apt-get fails: no network, or not root.
pub fn install_packages(layout: &Layout, progress: &Progress) -> Result<()> {
    let _lock = lock(layout)?;
    packages::install_missing(progress)
}

/// What a node's container engine is made of.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Which containerd.
    pub line: ContainerdLine,
    /// The Go programs.
    pub tools: ToolPaths,
    /// The images.
    pub registry: RegistryDirectory,
}

/// Prepares containerd with everything around it, and Ballast.
///
/// # Errors
/// The step that failed, with the path of its log.
pub fn engine(layout: &Layout, progress: &Progress, line: ContainerdLine, source: Source) -> Result<Engine> {
    install_packages(layout, progress)?;
    let wanted =
        [Tool::Containerd(line), Tool::Runc, Tool::CniPlugins, Tool::Registry, Tool::Crictl, Tool::Critest];
    let tools = tools::build(&wanted, layout.node(), progress)?;
    let registry = images::build(layout.node(), progress)?;
    if source == Source::WorkingTree {
        ballast::build(layout, progress)?;
    }
    Ok(Engine { line, tools, registry })
}

/// Prepares everything for every kind of run.
///
/// # Errors
/// The step that failed, with the path of its log.
pub fn everything(layout: &Layout, progress: &Progress) -> Result<()> {
    guest(layout, progress, KernelChoice::Fast)?;
    engine(layout, progress, ContainerdLine::V2, Source::WorkingTree)?;
    engine(layout, progress, ContainerdLine::V1_7, Source::Installed)?;
    Ok(())
}
