//! A pod's QoS class, and the levels of cgroups above its containers, as kubelet lays them out
//! (`kubepods/burstable/pod<uid>/<container>` or `kubepods-burstable-pod<uid>.slice`). Only text: nothing is looked up.

use std::fmt;

use crate::path::CgroupPath;

/// Kubernetes' quality of service class of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Every container's requests are its limits.
    Guaranteed,
    /// Some container requests something.
    Burstable,
    /// No container requests anything.
    BestEffort,
}

impl fmt::Display for QosClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        })
    }
}

impl QosClass {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Guaranteed, Self::Burstable, Self::BestEffort]
            .into_iter()
            .find(|class| class.to_string() == text)
    }
}

/// Where a container of a Kubernetes pod is in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlace {
    pub(super) class: QosClass,
    /// Paths below the root of the hierarchy: the pod's cgroup, that of its class unless it is Guaranteed, kubepods itself.
    pub(super) levels: Vec<String>,
    /// Whether the levels are slices of systemd.
    pub(super) slices: bool,
}

impl PodPlace {
    /// The place that a container's path describes; `None` when it is not one of kubelet's.
    #[must_use]
    pub fn of(path: &CgroupPath) -> Option<Self> {
        let components: Vec<&str> = path.relative().split('/').collect();
        let names: Vec<String> = match path.unit() {
            Some(_) => slice_names(&components),
            None => components.iter().map(|&name| name.to_owned()).collect(),
        };
        let root = names.iter().position(|name| name == "kubepods")?;
        let (class, pod) = match names.get(root + 1)?.as_str() {
            "burstable" => (QosClass::Burstable, root + 2),
            "besteffort" => (QosClass::BestEffort, root + 2),
            _ => (QosClass::Guaranteed, root + 1),
        };
        // The container itself is below the pod.
        if !names.get(pod)?.starts_with("pod") || components.len() <= pod + 1 {
            return None;
        }
        let level = |depth: usize| Some(components.get(..=depth)?.join("/"));
        let levels = (root..=pod).rev().map(level).collect::<Option<_>>()?;
        Some(Self { class, levels, slices: path.is_owned_by_systemd() })
    }

    /// The pod's cgroup, by its path below the root of the hierarchy.
    pub(crate) fn pod(&self) -> &str {
        self.levels.first().map_or("", String::as_str)
    }

    /// Whether the pod's cgroup is a slice of systemd.
    pub(crate) fn is_of_slices(&self) -> bool {
        self.slices
    }

    /// The pod's class.
    #[must_use]
    pub fn class(&self) -> QosClass {
        self.class
    }
}

/// What each slice adds to the name of its parent: `a-b.slice` in `a.slice` adds `b`.
fn slice_names(components: &[&str]) -> Vec<String> {
    let mut parent = String::new();
    let mut names = Vec::new();
    for component in components {
        let stem = component.strip_suffix(".slice").unwrap_or(component);
        names.push(stem.strip_prefix(&parent).unwrap_or(stem).to_owned());
        parent = format!("{stem}-");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Option<(QosClass, Vec<String>)> {
        PodPlace::of(&CgroupPath::parse(path).unwrap()).map(|place| (place.class, place.levels))
    }

    fn levels(expected: &[&str]) -> Vec<String> {
        expected.iter().map(|&level| level.to_owned()).collect()
    }

    #[test]
    fn paths_of_directories() {
        assert_eq!(
            place("/kubepods/burstable/pod1-2/abc"),
            Some((
                QosClass::Burstable,
                levels(&["kubepods/burstable/pod1-2", "kubepods/burstable", "kubepods"])
            ))
        );
        assert_eq!(
            place("/kubepods/pod1/abc"),
            Some((QosClass::Guaranteed, levels(&["kubepods/pod1", "kubepods"])))
        );
        assert_eq!(place("/kubepods/besteffort/pod1/abc").unwrap().0, QosClass::BestEffort);
        assert_eq!(
            place("/nodes/a/kubepods/pod1/abc").unwrap().1,
            levels(&["nodes/a/kubepods/pod1", "nodes/a/kubepods"])
        );
    }

    #[test]
    fn paths_of_slices() {
        let kubepods = "kubepods.slice";
        let burstable = "kubepods.slice/kubepods-burstable.slice";
        let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice";
        assert_eq!(
            place("kubepods-burstable-pod1_2.slice:cri-containerd:abc"),
            Some((QosClass::Burstable, levels(&[pod, burstable, kubepods])))
        );
        assert_eq!(place("kubepods-pod1_2.slice:cri-containerd:abc").unwrap().0, QosClass::Guaranteed);
        assert_eq!(
            place("kubepods-besteffort-pod1_2.slice:cri-containerd:abc").unwrap().0,
            QosClass::BestEffort
        );
        assert_eq!(
            place("node-kubepods-pod1_2.slice:cri-containerd:abc").unwrap().1,
            levels(&[
                "node.slice/node-kubepods.slice/node-kubepods-pod1_2.slice",
                "node.slice/node-kubepods.slice"
            ])
        );
    }

    #[test]
    fn what_kubelet_did_not_lay_out_is_no_place() {
        for path in [
            "/k8s.io/abc",
            "/kubepods/abc",
            "/kubepods/pod1",
            "/kubepods/burstable/pod1",
            "/kubepods/burstable/abc/def",
            "system.slice:cri-containerd:abc",
            "kubepods.slice:cri-containerd:abc",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
