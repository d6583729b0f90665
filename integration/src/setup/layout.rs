//! Where things are: the workspace, and the node's cache inside it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directories that everything else is found from.
#[derive(Clone, Debug)]
pub struct Layout {
    workspace: PathBuf,
    target: PathBuf,
    node: PathBuf,
}

impl Layout {
    /// Finds the workspace that this program was built from and creates the node's cache.
    ///
    /// # Errors
    /// When the workspace is gone or its cache cannot be created.
    pub fn discover() -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let workspace = source.canonicalize().with_context(|| format!("find {}", source.display()))?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(path) => workspace.join(path),
            None => workspace.join("target"),
        };
        // Not below CARGO_TARGET_DIR: what is cached here does not depend on how Ballast is built.
        let node = workspace.join("target/node");
        for directory in [&target, &node, &node.join("bin"), &node.join("log")] {
            fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        }
        Ok(Self { workspace, target: target.canonicalize().context("find the target directory")?, node })
    }

    /// The repository's root.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Where cargo builds (`CARGO_TARGET_DIR`).
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The node's cache, `target/node`.
    #[must_use]
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// Programs for the node, first in its `PATH`; Ballast's own binaries are here.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.node.join("bin")
    }

    /// The logs of set-up steps.
    #[must_use]
    pub fn setup_logs(&self) -> PathBuf {
        self.node.join("log/setup")
    }
}
