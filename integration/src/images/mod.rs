//! The images of the test node, made from Debian packages and a few small C programs, in the on-disk form of the
//! registry that [`crate::tools`] builds. Nothing is pulled from anywhere. Knows nothing about nodes.
//!
//! # Serving them
//! On the node, with the directory that [`build`] returns mounted (read-only will do) at `ROOT`:
//!
//! 1. write [`registry_configuration`]`("ROOT", "127.0.0.1:5000")` to a file and start `registry serve FILE`; it
//!    serves plain HTTP and is ready when the port accepts;
//! 2. write [`hosts_toml`]`("127.0.0.1:5000")` to [`HOSTS_TOML_PATH`] and set `config_path` of containerd's CRI
//!    registry to [`HOSTS_DIRECTORY`], so that every registry's name leads here;
//! 3. pull by the names of [`references`]. `ctr images pull` needs `--hosts-dir` with [`HOSTS_DIRECTORY`].
//!
//! # What cannot be had
//! critest's case "public image with digest should be pulled and removed" names an image by the SHA-256 of a manifest
//! that exists only in its public registry. No image made here can have that digest.

mod catalog;
mod describe;
mod inputs;
mod layer;
mod packages;
mod storage;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::progress::{Progress, StepLog};
use crate::tools::lock;
use catalog::{Addition, IMAGES, Image, Layer};
use inputs::Inputs;
use layer::{Workshop, payload_path};
use packages::Packages;
use storage::{Blob, Storage};

/// The Debian packages that building the images needs, each with the reason.
pub const REQUIRED_PACKAGES: &[(&str, &str)] = &[
    ("apt", "finds and fetches the packages that images are made of"),
    ("dpkg", "unpacks them"),
    ("gcc", "the sandbox's pause and the test programs are C"),
    ("libc6-dev", "they are linked statically with this libc"),
    ("musl-tools", "or with this one"),
];

/// Where containerd looks for [`hosts_toml`] when `config_path` is [`HOSTS_DIRECTORY`].
pub const HOSTS_TOML_PATH: &str = "/etc/containerd/certs.d/_default/hosts.toml";

/// The value of `config_path` in containerd's CRI registry table.
pub const HOSTS_DIRECTORY: &str = "/etc/containerd/certs.d";

/// Raised when the same inputs would make other images than before.
const FORMAT: u32 = 1;

/// The storage directory of a registry with all images in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryDirectory {
    path: PathBuf,
}

impl RegistryDirectory {
    /// Where [`build`] puts it below the node's directory (`target/node`), whether built or not.
    #[must_use]
    pub fn below(node_directory: &Path) -> Self {
        Self { path: node_directory.join("registry") }
    }

    /// The directory, to be named as `ROOT` in [`registry_configuration`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest (`sha256:` and hexadecimal digits) of the manifest that `reference`, one of [`references`], names.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn digest_of(&self, reference: &str) -> Result<String> {
        let (repository, tag) = repository_and_tag(reference)?;
        Storage::below(&self.path).digest_of(repository, tag).with_context(|| format!("no image {reference}"))
    }
}

/// The names of all images, each with registry and tag.
pub fn references() -> impl Iterator<Item = &'static str> {
    IMAGES.iter().flat_map(|image| image.references).copied()
}

/// The registry's configuration file, for images at `root` and an `address` such as `127.0.0.1:5000`.
#[must_use]
pub fn registry_configuration(root: &str, address: &str) -> String {
    format!(
        "version: 0.1\n\
         log:\n  level: error\n  accesslog:\n    disabled: true\n\
         storage:\n  filesystem:\n    rootdirectory: {root}\n\
         \x20 maintenance:\n    readonly:\n      enabled: true\n    uploadpurging:\n      enabled: false\n\
         http:\n  addr: {address}\n"
    )
}

/// Makes the registry at `address` stand for every registry, over plain HTTP; nothing else is ever asked.
#[must_use]
pub fn hosts_toml(address: &str) -> String {
    format!(
        "server = \"http://{address}\"\n\n[host.\"http://{address}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    )
}

/// Builds all images into `<node_directory>/registry`, unless they are there and nothing that they are made of has
/// changed: the catalogue, the programs' sources, the Debian packages that apt knows. Needs apt's package lists; apt
/// is asked only when these are newer than the images.
///
/// # Errors
/// When a package cannot be fetched or a program not compiled; the error names the step and its log.
pub fn build(node_directory: &Path, progress: &Progress) -> Result<RegistryDirectory> {
    let _lock = lock(node_directory, "registry.lock")?;
    let registry = RegistryDirectory::below(node_directory);
    let recipe = hash(&recipe()?);
    let built_from = Inputs::read(&registry.path);
    if built_from.as_ref().is_some_and(|inputs| inputs.recipe == recipe && !inputs.may_have_new_packages()) {
        return Ok(registry);
    }
    let packages = Packages::resolve(&package_names(), node_directory.join("packages"))?;
    let versions = hash(&packages.fingerprint());
    if !built_from.is_some_and(|inputs| inputs.recipe == recipe && inputs.versions == versions) {
        progress.step("build images", |log| build_all(node_directory, &registry, &packages, log))?;
    }
    Inputs::write(&registry.path, &recipe, &versions)?;
    Ok(registry)
}

fn build_all(
    node_directory: &Path,
    registry: &RegistryDirectory,
    packages: &Packages,
    log: &mut StepLog,
) -> Result<()> {
    packages.fetch(log)?;
    let fresh = empty_directory(&node_directory.join("registry.new"))?;
    let scratch = empty_directory(&node_directory.join("registry.scratch"))?;
    store_all(&Storage::below(&fresh), &Workshop { packages, scratch: &scratch }, log)?;
    remove(&scratch)?;
    remove(&registry.path)?;
    fs::rename(&fresh, &registry.path)
        .with_context(|| format!("move the images to {}", registry.path.display()))
}

fn layers() -> impl Iterator<Item = &'static Layer> {
    IMAGES.iter().flat_map(|image| image.layers).copied()
}

fn package_names() -> Vec<&'static str> {
    let whole = layers().flat_map(|layer| layer.packages).copied();
    let in_part = layers().flat_map(|layer| layer.additions).filter_map(|addition| match addition {
        Addition::PackageFile { package, .. } => Some(*package),
        _ => None,
    });
    let mut names: Vec<_> = whole.chain(in_part).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Everything but the packages' versions that decides what the images are.
fn recipe() -> Result<String> {
    let mut recipe = format!("{FORMAT} {IMAGES:?}");
    for addition in layers().flat_map(|layer| layer.additions) {
        if let Addition::Program { source, .. } = addition {
            let path = payload_path(source);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            recipe.push_str(&text);
        }
    }
    Ok(recipe)
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn store_all(storage: &Storage, workshop: &Workshop<'_>, log: &mut StepLog) -> Result<()> {
    let mut made: Vec<(&Layer, Blob)> = Vec::new();
    for image in IMAGES {
        let mut blobs = Vec::new();
        for &layer in image.layers {
            let known =
                made.iter().find(|(other, _)| std::ptr::eq(*other, layer)).map(|(_, blob)| blob.clone());
            let blob = match known {
                Some(blob) => blob,
                None => storage.add_blob(&workshop.make(layer, log)?)?,
            };
            made.push((layer, blob.clone()));
            blobs.push(blob);
        }
        store(storage, image, blobs).with_context(|| format!("store {}", image.references[0]))?;
        log.note(&format!("stored {}", image.references.join(" ")));
    }
    Ok(())
}

fn store(storage: &Storage, image: &Image, layers: Vec<Blob>) -> Result<()> {
    let configuration = storage.add_blob(&describe::configuration(image, &layers)?)?;
    let manifest = storage.add_blob(&describe::manifest(&configuration, &layers)?)?;
    let mut parts = layers;
    parts.push(configuration);
    for reference in image.references {
        let (repository, tag) = repository_and_tag(reference)?;
        storage.add_image(repository, tag, &manifest, &parts)?;
    }
    Ok(())
}

/// The repository as a mirror is asked for it: without the registry's name.
fn repository_and_tag(reference: &str) -> Result<(&str, &str)> {
    let parsed = reference.split_once('/').and_then(|(_, path)| path.rsplit_once(':'));
    parsed.with_context(|| format!("{reference} is not of the form registry/repository:tag"))
}

fn empty_directory(path: &Path) -> Result<PathBuf> {
    remove(path)?;
    fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
    Ok(path.to_owned())
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_that_differ_only_in_the_registry_name_the_same_image() {
        let mut owners = BTreeMap::new();
        for (number, image) in IMAGES.iter().enumerate() {
            for reference in image.references {
                let owner = owners.entry(repository_and_tag(reference).unwrap()).or_insert(number);
                assert_eq!(*owner, number, "{reference}");
            }
        }
    }

    #[test]
    fn every_program_has_a_source() {
        for addition in layers().flat_map(|layer| layer.additions) {
            if let Addition::Program { source, .. } = addition {
                assert!(payload_path(source).exists(), "{source}");
            }
        }
    }

    #[test]
    fn the_registry_is_asked_to_listen_where_containerd_asks() {
        assert!(registry_configuration("/images", "127.0.0.1:5000").contains("\n  addr: 127.0.0.1:5000\n"));
        assert!(hosts_toml("127.0.0.1:5000").contains("server = \"http://127.0.0.1:5000\"\n"));
    }
}
