//! The pods of this node whose shims can be asked, and the one that somebody means.
//!
//! Found by what the shims themselves record: containerd knows their sockets, too, but keeps them in another form with each
//! version, below a directory of its own choice.

mod shim;

use ballast_runtime::ShimRecord;

pub(crate) use self::shim::{Shim, ShimError};
use crate::names::{Bundles, Names};

/// A pod, or a container that has a shim by itself.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) record: ShimRecord,
    /// The container's is empty.
    pub(crate) names: Names,
    pub(crate) containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// What CRI calls it.
    pub(crate) name: String,
}

/// What a name on the command line means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Pod(&'a Pod),
    Container(&'a Pod, &'a Container),
}

/// Why it is not known what is meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodsError {
    #[error("read the records of shims")]
    Records(#[source] std::io::Error),
    #[error("start event loop")]
    EventLoop(#[source] std::io::Error),
    #[error("no pod of Ballast has the id or name {0}")]
    NoSuchPod(String),
    #[error("no pod or container of Ballast has the id or name {0}")]
    NoSuchTarget(String),
    #[error("{name} is the beginning of several ids, or the name of several: {}", candidates.join(", "))]
    Ambiguous { name: String, candidates: Vec<String> },
}

/// Every pod of Ballast, by namespace and name.
pub(crate) fn all(bundles: &Bundles) -> Result<Vec<Pod>, PodsError> {
    let mut pods = Vec::new();
    for record in ShimRecord::all().map_err(PodsError::Records)? {
        pods.push(Pod::of(record, bundles).map_err(PodsError::Records)?);
    }
    pods.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(pods)
}

/// The one pod of this id, beginning of an id, name, or namespace and name with a slash between.
pub(crate) fn find<'a>(pods: &'a [Pod], name: &str) -> Result<&'a Pod, PodsError> {
    let matching: Vec<_> = pods.iter().filter(|pod| pod.is_called(name)).map(Target::Pod).collect();
    Ok(only(matching, name, PodsError::NoSuchPod)?.pod())
}

/// As [`find`], of pods and containers; a container is also meant by its pod's name and its own, with a slash between.
pub(crate) fn find_target<'a>(pods: &'a [Pod], name: &str) -> Result<Target<'a>, PodsError> {
    let mut matching = Vec::new();
    for pod in pods {
        if pod.is_called(name) {
            matching.push(Target::Pod(pod));
        }
        let containers = pod.containers.iter().filter(|container| pod.has_called(container, name));
        matching.extend(containers.map(|container| Target::Container(pod, container)));
    }
    only(matching, name, PodsError::NoSuchTarget)
}

/// Waits for what shims answer.
pub(crate) fn wait_for<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<PodsError>,
{
    let event_loop =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PodsError::EventLoop)?;
    event_loop.block_on(answer)
}

fn only<'a>(
    mut matching: Vec<Target<'a>>,
    name: &str,
    none: impl FnOnce(String) -> PodsError,
) -> Result<Target<'a>, PodsError> {
    // A whole id can be the beginning of another, or somebody's name.
    if let Some(exact) = matching.iter().position(|target| target.id() == name) {
        return Ok(matching.swap_remove(exact));
    }
    match matching[..] {
        [] => Err(none(name.to_owned())),
        [target] => Ok(target),
        _ => {
            let candidates = matching.iter().map(Target::to_string).collect();
            Err(PodsError::Ambiguous { name: name.to_owned(), candidates })
        }
    }
}

impl Pod {
    fn of(record: ShimRecord, bundles: &Bundles) -> std::io::Result<Self> {
        let mut names = bundles.names(record.namespace(), record.id());
        let mut containers = Vec::new();
        for container in record.containers()? {
            let of_container = bundles.names(record.namespace(), container.id());
            containers.push(Container { id: container.id().to_owned(), name: of_container.container });
            if names.pod.is_empty() {
                names = Names { container: String::new(), ..of_container };
            }
        }
        containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(Self { record, names, containers })
    }

    pub(crate) fn id(&self) -> &str {
        self.record.id()
    }

    /// Its namespace and name, or its id when it has none.
    pub(crate) fn title(&self) -> String {
        if self.names.pod.is_empty() {
            return self.id().to_owned();
        }
        format!("{}/{}", self.names.pod_namespace, self.names.pod)
    }

    fn is_called(&self, name: &str) -> bool {
        self.id().starts_with(name) || self.is_named(name)
    }

    fn is_named(&self, name: &str) -> bool {
        !self.names.pod.is_empty() && (self.names.pod == name || self.title() == name)
    }

    /// The sandbox, or a container by itself, goes by its pod's id.
    fn has_called(&self, container: &Container, name: &str) -> bool {
        if container.id == self.id() {
            return false;
        }
        let own = || name.rsplit_once('/').filter(|(pod, _)| self.is_named(pod)).map(|(_, own)| own);
        container.id.starts_with(name)
            || (!container.name.is_empty() && (container.name == name || own() == Some(&container.name)))
    }

    fn key(&self) -> (&str, &str, &str) {
        (&self.names.pod_namespace, &self.names.pod, self.id())
    }
}

impl<'a> Target<'a> {
    pub(crate) fn pod(&self) -> &'a Pod {
        match self {
            Self::Pod(pod) | Self::Container(pod, _) => pod,
        }
    }

    /// The only container that is meant.
    pub(crate) fn container(&self) -> Option<&'a Container> {
        match self {
            Self::Pod(_) => None,
            Self::Container(_, container) => Some(container),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Pod(pod) => pod.id(),
            Self::Container(_, container) => &container.id,
        }
    }
}

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod(pod) => write!(formatter, "pod {} ({})", pod.title(), pod.id()),
            Self::Container(pod, container) => {
                write!(formatter, "container {}/{} ({})", pod.title(), container.name, container.id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(id: &str, namespace: &str, name: &str, containers: &[(&str, &str)]) -> Pod {
        Pod {
            record: ShimRecord::of("k8s.io", id),
            names: Names {
                pod_namespace: namespace.to_owned(),
                pod: name.to_owned(),
                container: String::new(),
            },
            containers: containers
                .iter()
                .map(|(id, name)| Container { id: (*id).to_owned(), name: (*name).to_owned() })
                .collect(),
        }
    }

    fn pods() -> Vec<Pod> {
        vec![
            pod("aa11", "default", "web", &[("aa11", ""), ("cc11", "nginx"), ("cc12", "sidecar")]),
            pod("aa22", "default", "db", &[("aa22", ""), ("cc22", "sidecar")]),
            pod("bb33", "test", "web", &[("bb33", "")]),
            pod("alone", "", "", &[("alone", "")]),
        ]
    }

    fn found(name: &str) -> String {
        match find(&pods(), name) {
            Ok(pod) => pod.id().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn target(name: &str) -> String {
        match find_target(&pods(), name) {
            Ok(target) => target.id().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_pod_is_found_by_id_prefix_or_name() {
        for (name, id) in
            [("aa11", "aa11"), ("aa2", "aa22"), ("db", "aa22"), ("test/web", "bb33"), ("alone", "alone")]
        {
            assert_eq!((found(name), target(name)), (id.to_owned(), id.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_name_that_means_several_lists_them() {
        assert_eq!(
            found("web"),
            "web is the beginning of several ids, or the name of several: pod default/web (aa11), pod test/web (bb33)"
        );
        assert!(found("aa").contains("pod default/db (aa22)"));
        let several = target("sidecar");
        assert!(several.contains("container default/web/sidecar (cc12)"), "{several}");
        assert!(several.contains("container default/db/sidecar (cc22)"), "{several}");
    }

    #[test]
    fn a_container_is_found_by_id_name_and_its_pods_name() {
        for (name, id) in
            [("cc11", "cc11"), ("nginx", "cc11"), ("db/sidecar", "cc22"), ("default/web/sidecar", "cc12")]
        {
            assert_eq!(target(name), id, "{name}");
        }
        assert_eq!(found("nginx"), "no pod of Ballast has the id or name nginx");
    }

    #[test]
    fn a_name_that_means_nobody_is_in_the_error() {
        assert_eq!(found("zz"), "no pod of Ballast has the id or name zz");
        assert_eq!(target("db/nginx"), "no pod or container of Ballast has the id or name db/nginx");
    }
}
