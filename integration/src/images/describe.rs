//! An image's configuration and manifest, as the OCI image specification 1.1 wants them. The same image always makes
//! the same bytes.

use anyhow::{Context, Result};
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;

use super::catalog::{Image, Process};
use super::storage::Blob;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of `image` with these uncompressed layers.
pub(super) fn configuration(image: &Image, layers: &[Blob]) -> Result<Vec<u8>> {
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(layers.iter().map(Blob::digest).collect::<Vec<_>>())
        .build()
        .context("describe the root file system")?;
    let configuration = ImageConfigurationBuilder::default()
        .architecture(Arch::default())
        .os(Os::Linux)
        .config(process(&image.process, image.version)?)
        .rootfs(root)
        .build()
        .context("describe the image")?;
    sorted_json(&configuration)
}

/// The manifest that ties a configuration to its layers.
pub(super) fn manifest(configuration: &Blob, layers: &[Blob]) -> Result<Vec<u8>> {
    let layers: Vec<Descriptor> =
        layers.iter().map(|layer| descriptor(MediaType::ImageLayer, layer)).collect::<Result<_>>()?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, configuration)?)
        .layers(layers)
        .build()
        .context("describe the manifest")?;
    sorted_json(&manifest)
}

fn process(process: &Process, version: Option<&str>) -> Result<Config> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut builder = ConfigBuilder::default().env(vec![PATH.to_owned()]);
    if !process.entrypoint.is_empty() {
        builder = builder.entrypoint(words(process.entrypoint));
    }
    if !process.command.is_empty() {
        builder = builder.cmd(words(process.command));
    }
    if !process.volumes.is_empty() {
        builder = builder.volumes(words(process.volumes));
    }
    if let Some(user) = process.user {
        builder = builder.user(user);
    }
    if let Some(directory) = process.working_directory {
        builder = builder.working_dir(directory);
    }
    if let Some(signal) = process.stop_signal {
        builder = builder.stop_signal(signal);
    }
    if let Some(version) = version {
        builder = builder.labels([("org.opencontainers.image.version".to_owned(), version.to_owned())]);
    }
    builder.build().context("describe the process")
}

fn descriptor(media_type: MediaType, blob: &Blob) -> Result<Descriptor> {
    let digest: Sha256Digest = blob.sha256.parse().context("parse a digest")?;
    DescriptorBuilder::default()
        .media_type(media_type)
        .digest(digest)
        .size(blob.size_bytes)
        .build()
        .context("describe a blob")
}

/// Through a value, whose maps are sorted, because the specification's types hold hash maps.
fn sorted_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let value = serde_json::to_value(value).context("write JSON")?;
    serde_json::to_vec(&value).context("write JSON")
}
