//! Id mappings of user namespaces and id-mapped mounts.

use super::PlanError;
use oci_spec::runtime::LinuxIdMapping;
use std::fmt::Write as _;

/// Uid and gid mappings that belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdMaps<'a> {
    pub(crate) uids: &'a [LinuxIdMapping],
    pub(crate) gids: &'a [LinuxIdMapping],
}

impl<'a> IdMaps<'a> {
    /// `None` when neither is given; one without the other is refused.
    pub(crate) fn from_spec(
        field: &str,
        uids: Option<&'a Vec<LinuxIdMapping>>,
        gids: Option<&'a Vec<LinuxIdMapping>>,
    ) -> Result<Option<Self>, PlanError> {
        let (uids, gids) = (uids.map_or(&[][..], Vec::as_slice), gids.map_or(&[][..], Vec::as_slice));
        match (uids.is_empty(), gids.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Self { uids, gids })),
            _ => Err(PlanError::invalid(field, "", "has uidMappings or gidMappings without the other")),
        }
    }

    /// The host's id of a uid of the container.
    pub(crate) fn host_uid(&self, uid: u32) -> Option<u32> {
        host_id(self.uids, uid)
    }

    /// The host's id of a gid of the container.
    pub(crate) fn host_gid(&self, gid: u32) -> Option<u32> {
        host_id(self.gids, gid)
    }
}

fn host_id(mappings: &[LinuxIdMapping], id: u32) -> Option<u32> {
    mappings.iter().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id())?;
        (offset < mapping.size()).then(|| mapping.host_id().checked_add(offset))?
    })
}

/// The lines of `/proc/<pid>/uid_map`.
pub(crate) fn id_map_lines(mappings: &[LinuxIdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut lines, mapping| {
        // Writing to a String cannot fail.
        let _infallible =
            writeln!(lines, "{} {} {}", mapping.container_id(), mapping.host_id(), mapping.size());
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxIdMappingBuilder;

    #[test]
    fn an_id_is_mapped_by_the_range_that_holds_it_and_unmapped_ids_have_none() {
        let range = |container, host, size| {
            LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size).build().unwrap()
        };
        let uids = vec![range(0u32, 100_000u32, 1000u32), range(5000u32, 7u32, 1u32)];
        let maps = IdMaps { uids: &uids, gids: &[] };
        assert_eq!(maps.host_uid(0), Some(100_000));
        assert_eq!(maps.host_uid(999), Some(100_999));
        assert_eq!(maps.host_uid(1000), None);
        assert_eq!(maps.host_uid(5000), Some(7));
        assert_eq!(id_map_lines(&uids), "0 100000 1000\n5000 7 1\n");
    }
}
