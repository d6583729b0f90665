//! Files of one test on the node.

use std::fs;
use std::path::{Path, PathBuf};

use super::node::DIRECTORY;

/// A directory for one test, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it; no two tests may use one name.
    pub fn new(name: &str) -> Self {
        let path = Path::new(DIRECTORY).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The path of this name in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
