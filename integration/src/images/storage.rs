//! Writes images in the form in which the distribution project's registry keeps them on disk: blobs by digest, and
//! below each repository links to its layers, manifest revisions and tags. Knows nothing about what is in an image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The digest of a stored blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// SHA-256 in hexadecimal digits.
    pub(super) sha256: String,
    pub(super) size_bytes: u64,
}

impl Blob {
    /// As manifests spell it.
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }
}

/// The storage directory of a registry.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
}

impl Storage {
    /// The storage below `root`, which is created when something is stored.
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.join("docker/registry/v2") }
    }

    /// Stores a blob, once.
    pub(super) fn add_blob(&self, content: &[u8]) -> Result<Blob> {
        let sha256: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.root.join("blobs/sha256").join(&sha256[..2]).join(&sha256).join("data");
        if !path.exists() {
            write(&path, content)?;
        }
        Ok(Blob { sha256, size_bytes: u64::try_from(content.len())? })
    }

    /// Makes `repository:tag` the image with this manifest; `parts` are its configuration and layers.
    pub(super) fn add_image(
        &self,
        repository: &str,
        tag: &str,
        manifest: &Blob,
        parts: &[Blob],
    ) -> Result<()> {
        let repository = self.repository(repository);
        for part in parts {
            link(&repository.join("_layers/sha256").join(&part.sha256), part)?;
        }
        let manifests = repository.join("_manifests");
        link(&manifests.join("revisions/sha256").join(&manifest.sha256), manifest)?;
        let tag = manifests.join("tags").join(tag);
        link(&tag.join("current"), manifest)?;
        link(&tag.join("index/sha256").join(&manifest.sha256), manifest)
    }

    /// The digest of the manifest that `repository:tag` names.
    pub(super) fn digest_of(&self, repository: &str, tag: &str) -> Result<String> {
        let path = self.repository(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root.join("repositories").join(name)
    }
}

fn link(directory: &Path, blob: &Blob) -> Result<()> {
    write(&directory.join("link"), blob.digest().as_bytes())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
