//! Which shim a container belongs to: the first of two annotations of its bundle, else its own id.
//!
//! Must not know how a shim is found.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// In order: a client's own grouping, then the pod that CRI puts the container in.
const GROUP_ANNOTATIONS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// The only part of config.json that `start` looks at; the rest is skipped without being built.
#[derive(serde::Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// A config.json that is there and cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// open(2) failed.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not JSON, or annotations that are not text.
    #[error("read annotations of {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// The group of the bundle at `bundle`, `None` when it names none.
///
/// A bundle without config.json (that of a sandbox made through the Sandbox service) names none.
///
/// # Errors
/// A config.json that cannot be read.
pub(super) fn of_bundle(bundle: &Path) -> Result<Option<String>, GroupError> {
    let path = bundle.join("config.json");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(GroupError::Open { path, source }),
    };
    let mut config: Annotated = serde_json::from_reader(BufReader::with_capacity(32 << 10, file))
        .map_err(|source| GroupError::Parse { path, source })?;
    Ok(GROUP_ANNOTATIONS.iter().find_map(|annotation| config.annotations.remove(*annotation)))
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
