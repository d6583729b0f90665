//! The containers that Ballast made, by their records.

use ballast_cgroups::{Cgroup, CgroupPath, Hierarchy};
use ballast_runtime::Record;

use super::QosError;
use crate::names::{Bundles, Names};

/// A container that is there.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) names: Names,
    pub(super) cgroup: Cgroup,
}

/// Every container of Ballast whose cgroup exists, by pod and name.
pub(super) fn all(hierarchy: &Hierarchy, bundles: &Bundles) -> Result<Vec<Container>, QosError> {
    let mut containers = Vec::new();
    for record in Record::all().map_err(QosError::Records)? {
        let id = record.id().to_owned();
        let cgroup = record.cgroup().map_err(|source| QosError::Record { id: id.clone(), source })?;
        let Some(path) = cgroup else { continue };
        let found = CgroupPath::parse(&path).and_then(|path| hierarchy.find(&path));
        let cgroup = match found {
            Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => continue,
            found => found.map_err(|source| QosError::Container { id: id.clone(), source })?,
        };
        let namespace = record.namespace().to_owned();
        let names = bundles.names(&namespace, &id);
        containers.push(Container { namespace, id, names, cgroup });
    }
    containers.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(containers)
}

/// The one of this id, beginning of an id, or name.
pub(super) fn find<'a>(all: &'a [Container], name: &str) -> Result<&'a Container, QosError> {
    let matching: Vec<&Container> = all
        .iter()
        .filter(|container| container.id.starts_with(name) || container.names.container == name)
        .collect();
    match matching[..] {
        [] => Err(QosError::NoSuchContainer(name.to_owned())),
        [container] => Ok(container),
        ref several => {
            // A whole id can be the beginning of another.
            if let Some(exact) = several.iter().find(|container| container.id == name) {
                return Ok(exact);
            }
            let ids: Vec<&str> = several.iter().map(|container| container.id.as_str()).collect();
            Err(QosError::Ambiguous { name: name.to_owned(), ids: ids.join(", ") })
        }
    }
}

impl Container {
    fn key(&self) -> (&str, &str, &str, &str) {
        (&self.names.pod_namespace, &self.names.pod, &self.names.container, &self.id)
    }
}
