//! What CRI calls pods and containers: containerd's bundles tell, as far as they are there.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Where to look.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bundles {
    /// Where containerd keeps bundles, which know the names of pods and containers.
    #[arg(
        long = "bundles",
        value_name = "DIRECTORY",
        global = true,
        default_value = "/run/containerd/io.containerd.runtime.v2.task"
    )]
    directory: PathBuf,
}

/// What CRI calls a container and its pod; empty for containers of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) pod_namespace: String,
    pub(crate) pod: String,
    /// Empty for the sandbox.
    pub(crate) container: String,
}

impl Bundles {
    /// The names of a container; empty when its bundle cannot be read, for names are a courtesy.
    pub(crate) fn names(&self, namespace: &str, id: &str) -> Names {
        names(&self.directory.join(namespace).join(id)).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

fn names(bundle: &Path) -> Option<Names> {
    let content = std::fs::read(bundle.join("config.json")).ok()?;
    let mut config: Config = serde_json::from_slice(&content).ok()?;
    let mut take =
        |name: &str| config.annotations.remove(&format!("io.kubernetes.cri.{name}")).unwrap_or_default();
    Some(Names {
        pod_namespace: take("sandbox-namespace"),
        pod: take("sandbox-name"),
        container: take("container-name"),
    })
}
