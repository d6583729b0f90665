//! What is told about a container's view, in the form that programs read. Fields are only ever added.

use ballast_proto::ballast_pod::{Container, Mechanism, ViewFile};
use serde::Serialize;

use crate::names::Names;

/// The view of one container.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) id: String,
    /// containerd's.
    pub(super) namespace: String,
    pub(super) pod_namespace: String,
    pub(super) pod: String,
    /// Empty for a container of another client than CRI.
    pub(super) container: String,
    /// As in containerd, but in one word for each step of a life.
    pub(super) state: String,
    pub(super) files: Vec<File>,
    /// Texts that were made for readers.
    pub(super) reads: u64,
    /// Those in whose place the host's was shown.
    pub(super) fallbacks: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) path: String,
    /// `live`, `lasting` or `kernel`; `unknown` for one that a newer shim has.
    pub(super) mechanism: &'static str,
}

impl Report {
    /// `None` for a container without a view.
    pub(super) fn of(names: &Names, namespace: &str, container: Container) -> Option<Self> {
        let view = container.proc_view.into_option()?;
        Some(Self {
            id: container.id,
            namespace: namespace.to_owned(),
            pod_namespace: names.pod_namespace.clone(),
            pod: names.pod.clone(),
            container: container.name,
            state: container.state,
            files: view.files.into_iter().map(File::of).collect(),
            reads: view.reads,
            fallbacks: view.fallbacks,
        })
    }

    /// How many files are shown by a mechanism.
    pub(super) fn count(&self, mechanism: &str) -> usize {
        self.files.iter().filter(|file| file.mechanism == mechanism).count()
    }
}

impl File {
    fn of(file: ViewFile) -> Self {
        let mechanism = match file.mechanism.enum_value() {
            Ok(Mechanism::LIVE) => "live",
            Ok(Mechanism::LASTING) => "lasting",
            Ok(Mechanism::KERNEL) => "kernel",
            Ok(Mechanism::MECHANISM_UNSPECIFIED) | Err(_) => "unknown",
        };
        Self { path: file.path, mechanism }
    }
}
