//! What is told about a container's view, in the form that programs read. Fields are only ever added.

use ballast_proto::ballast_pod::{Container, Mechanism, Placement, ProcViewChange, ViewFile};
use serde::Serialize;

use crate::{names::Names, pods::Pod};

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
    /// `on`; `off` when the container sees the host's files.
    pub(super) view: &'static str,
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

/// What was done in a container.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) pod_namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// What is shown in another way now.
    pub(super) paths: Vec<String>,
    /// Why not, or not all of it; `null` when it was done.
    pub(super) failure: Option<String>,
}

impl Change {
    pub(super) fn of(pod: &Pod, change: ProcViewChange) -> Self {
        let container = pod.containers.iter().find(|container| container.id == change.container_id);
        Self {
            pod_namespace: pod.names.pod_namespace.clone(),
            pod: pod.names.pod.clone(),
            container: container.map(|container| container.name.clone()).unwrap_or_default(),
            id: change.container_id,
            paths: change.paths,
            failure: (!change.failure.is_empty()).then_some(change.failure),
        }
    }
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
            view: match view.placement.enum_value() {
                Ok(Placement::WITHDRAWN) => "off",
                // A shim that does not say could not take it away.
                _ => "on",
            },
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
