//! Ballast's own programs, built static and put where the node looks for them.

use anyhow::Result;

use super::cargo;
use super::layout::Layout;
use crate::progress::Progress;

/// Which Ballast the node runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// That of the working tree, built first.
    #[default]
    WorkingTree,
    /// What is in `target/node/bin`, even nothing: for work on the node itself and for comparing builds.
    Installed,
}

/// What must come out of the build, whatever else does.
const SHIM: &str = "containerd-shim-ballast-v2";

/// Builds the release form of the shim and the operator's command.
///
/// # Errors
/// When they do not compile, or cannot be installed.
pub fn build(layout: &Layout, progress: &Progress) -> Result<()> {
    progress.step("build ballast", |log| {
        let arguments = ["build", "--release", "--package", "ballast-shim", "--bins"];
        let executables = cargo::build_static(layout, log, &arguments)?;
        cargo::find(&executables, SHIM)?;
        for executable in executables {
            cargo::install(&executable.path, &layout.bin().join(&executable.name))?;
        }
        Ok(())
    })
}
