//! `linux.cgroupsPath`: where a container's cgroup is, and whether systemd is to own it.
//! Only text: nothing is looked up.

mod slice;

use std::fmt;

use crate::error::{Error, Result};
use slice::{expand_slice, is_unit_name};

/// `NAME_MAX`: longest name of one directory, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// `PATH_MAX` less the room that the mount point and a file name need, in bytes.
const PATH_BYTES_MAX: usize = 3500;

/// Files of these names exist in every cgroup, so no child can have them.
const RESERVED_PREFIX: &str = "cgroup.";

/// What is wrong with a `cgroupsPath`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// It has a component `..`.
    #[error("has a component \"..\", which leads out of the hierarchy")]
    Escapes,
    /// It has a NUL or a line feed, which the kernel does not accept in a name.
    #[error("has a NUL or line feed")]
    ControlCharacter,
    /// It, or one of its components, is longer than the kernel accepts.
    #[error("is too long")]
    TooLong,
    /// A component has the name of a cgroup's own file.
    #[error("has a component that starts with \"cgroup.\"")]
    Reserved,
    /// It has colons, but not the form `slice:prefix:name`.
    #[error("has colons but not the form slice:prefix:name")]
    NotThreeParts,
    /// The slice of a systemd path is not the name of a slice.
    #[error("does not name a slice, as in a-b.slice")]
    NotASlice,
    /// Prefix and name of a systemd path do not make the name of a unit.
    #[error("does not make a unit name of at most 255 letters, digits and :-_.@\\")]
    NotAUnitName,
    /// The name is that of a slice which has another parent than the one that is given.
    #[error("names a slice that is not a child of the given slice")]
    NotAChildSlice,
}

/// A checked place in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath {
    /// Without a leading slash, at least one component.
    relative: String,
    unit: Option<SystemdUnit>,
}

/// The unit that a systemd-style path names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SystemdUnit {
    /// The slice it is in, as in `kubepods-burstable.slice`; `-.slice` is the root.
    pub slice: String,
    /// The unit's name, ending in `.scope` or `.slice`.
    pub name: String,
}

impl CgroupPath {
    /// Parses `linux.cgroupsPath`.
    ///
    /// With a slash, or without a colon, it is a path of directories; a relative one counts from the root of the
    /// hierarchy, which is the location that the OCI runtime specification (config-linux, "Cgroups Path") leaves
    /// to the runtime. `slice:prefix:name` names a systemd unit: `prefix-name.scope` (`name.scope` when the prefix
    /// is empty, `name` when it ends in `.slice`) in `slice` (`system.slice` when empty).
    ///
    /// # Errors
    /// [`Error::Path`] with the fault; an empty path is refused, see [`Self::for_container`].
    pub fn parse(cgroups_path: &str) -> Result<Self> {
        let parsed = if cgroups_path.contains('/') || !cgroups_path.contains(':') {
            parse_directories(cgroups_path)
        } else {
            parse_unit(cgroups_path)
        };
        parsed.map_err(|fault| Error::Path { path: cgroups_path.to_owned(), fault })
    }

    /// The place of a container whose bundle names none: `/ballast/<id>`.
    ///
    /// # Errors
    /// [`Error::Path`] when the id cannot be the name of a directory.
    pub fn for_container(id: &str) -> Result<Self> {
        let refused = |fault| Error::Path { path: id.to_owned(), fault };
        check_component(id).map_err(refused)?;
        if id.contains('/') || id == "." {
            return Err(refused(PathFault::Escapes));
        }
        Ok(Self { relative: format!("ballast/{id}"), unit: None })
    }

    /// The path below the root of the hierarchy, without a leading slash.
    #[must_use]
    pub fn relative(&self) -> &str {
        &self.relative
    }

    /// As `linux.cgroupsPath` would say it: [`Self::parse`] makes the same of it.
    #[must_use]
    pub fn to_cgroups_path(&self) -> String {
        match &self.unit {
            Some(unit) => {
                format!("{}::{}", unit.slice, unit.name.strip_suffix(".scope").unwrap_or(&unit.name))
            }
            None => self.to_string(),
        }
    }

    /// The systemd unit, when the path has systemd's form.
    #[must_use]
    pub fn unit(&self) -> Option<&SystemdUnit> {
        self.unit.as_ref()
    }

    /// The parent's path below the root (empty for the root itself) and the last component.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.relative.rsplit_once('/').unwrap_or(("", &self.relative))
    }
}

impl fmt::Display for CgroupPath {
    /// As the kernel shows it in `/proc/<pid>/cgroup`: with a leading slash.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}", self.relative)
    }
}

fn parse_directories(path: &str) -> std::result::Result<CgroupPath, PathFault> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PathFault::TooLong);
    }
    let mut components = Vec::new();
    for component in path.split('/').filter(|component| !component.is_empty() && *component != ".") {
        check_component(component)?;
        components.push(component);
    }
    if components.is_empty() {
        return Err(PathFault::Empty);
    }
    Ok(CgroupPath { relative: components.join("/"), unit: None })
}

fn check_component(component: &str) -> std::result::Result<(), PathFault> {
    match component {
        "" => Err(PathFault::Empty),
        ".." => Err(PathFault::Escapes),
        _ if component.contains(['\0', '\n']) => Err(PathFault::ControlCharacter),
        _ if component.len() > NAME_BYTES_MAX => Err(PathFault::TooLong),
        _ if component.starts_with(RESERVED_PREFIX) => Err(PathFault::Reserved),
        _ => Ok(()),
    }
}

fn parse_unit(path: &str) -> std::result::Result<CgroupPath, PathFault> {
    let mut parts = path.split(':');
    let (Some(slice), Some(prefix), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PathFault::NotThreeParts);
    };
    if name.is_empty() {
        return Err(PathFault::NotAUnitName);
    }
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let parent = expand_slice(slice).ok_or(PathFault::NotASlice)?;
    let name = if name.ends_with(".slice") {
        let own = expand_slice(name).ok_or(PathFault::NotASlice)?;
        let (own_parent, _) = own.rsplit_once('/').unwrap_or(("", &own));
        if own.is_empty() || own_parent != parent {
            return Err(PathFault::NotAChildSlice);
        }
        name.to_owned()
    } else if prefix.is_empty() {
        format!("{name}.scope")
    } else {
        format!("{prefix}-{name}.scope")
    };
    if !is_unit_name(&name) || name.starts_with(['.', '_']) || name.starts_with(RESERVED_PREFIX) {
        // systemd escapes such names in the path of the cgroup, where we would not find it.
        return Err(PathFault::NotAUnitName);
    }
    let relative = if parent.is_empty() { name.clone() } else { format!("{parent}/{name}") };
    if relative.len() > PATH_BYTES_MAX {
        return Err(PathFault::TooLong);
    }
    Ok(CgroupPath { relative, unit: Some(SystemdUnit { slice: slice.to_owned(), name }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(path: &str) -> String {
        CgroupPath::parse(path).unwrap().relative().to_owned()
    }

    fn fault(path: &str) -> PathFault {
        match CgroupPath::parse(path) {
            Err(Error::Path { fault, .. }) => fault,
            other => panic!("{path:?} gave {other:?}"),
        }
    }

    #[test]
    fn directories_count_from_the_root() {
        assert_eq!(relative("/kubepods/burstable/pod1/abc"), "kubepods/burstable/pod1/abc");
        assert_eq!(relative("default//abc/"), "default/abc");
        assert_eq!(relative("/a/./b"), "a/b");
        assert_eq!(CgroupPath::parse("/a/b").unwrap().to_string(), "/a/b");
        assert_eq!(CgroupPath::parse("/a/b").unwrap().split(), ("a", "b"));
        assert_eq!(CgroupPath::parse("/a").unwrap().split(), ("", "a"));
    }

    #[test]
    fn a_colon_after_a_slash_is_part_of_a_name() {
        let path = CgroupPath::parse("/pods/a:b:c").unwrap();
        assert_eq!(path.relative(), "pods/a:b:c");
        assert!(path.unit().is_none());
    }

    #[test]
    fn what_leads_out_or_cannot_be_a_name_is_refused_by_name() {
        assert_eq!(fault(""), PathFault::Empty);
        assert_eq!(fault("///"), PathFault::Empty);
        assert_eq!(fault("/a/../../etc"), PathFault::Escapes);
        assert_eq!(fault("/a\0b"), PathFault::ControlCharacter);
        assert_eq!(fault("/a\nb"), PathFault::ControlCharacter);
        assert_eq!(fault(&format!("/{}", "x".repeat(256))), PathFault::TooLong);
        assert_eq!(fault(&"/abc".repeat(1000)), PathFault::TooLong);
        assert_eq!(fault("/a/cgroup.procs"), PathFault::Reserved);
    }

    #[test]
    fn a_systemd_path_names_a_scope_below_its_expanded_slices() {
        let path = CgroupPath::parse("kubepods-burstable-podA.slice:cri-containerd:abc").unwrap();
        assert_eq!(
            path.relative(),
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podA.slice/cri-containerd-abc.scope"
        );
        let unit = path.unit().unwrap();
        assert_eq!(unit.slice, "kubepods-burstable-podA.slice");
        assert_eq!(unit.name, "cri-containerd-abc.scope");
    }

    #[test]
    fn missing_parts_of_a_systemd_path_have_defaults() {
        assert_eq!(relative(":cri:abc"), "system.slice/cri-abc.scope");
        assert_eq!(relative("::abc"), "system.slice/abc.scope");
        assert_eq!(relative("-.slice:cri:abc"), "cri-abc.scope");
    }

    #[test]
    fn a_name_that_ends_in_slice_is_that_slice() {
        assert_eq!(relative("a.slice::a-b.slice"), "a.slice/a-b.slice");
        assert_eq!(fault("a.slice::c.slice"), PathFault::NotAChildSlice);
        assert_eq!(relative("-.slice::c.slice"), "c.slice");
    }

    #[test]
    fn a_path_that_was_written_down_is_read_as_the_same() {
        for path in [
            "/a/b",
            "a:b/c:d:e",
            "/a:b:c",
            "kubepods-pod1.slice:cri-containerd:abc",
            "::abc",
            "-.slice:cri:a.scope",
            "a.slice::a-b.slice",
        ] {
            let path = CgroupPath::parse(path).unwrap();
            assert_eq!(CgroupPath::parse(&path.to_cgroups_path()).unwrap(), path);
        }
    }

    #[test]
    fn a_malformed_systemd_path_is_refused_by_name() {
        assert_eq!(fault("a.slice:b"), PathFault::NotThreeParts);
        assert_eq!(fault("a.slice:b:c:d"), PathFault::NotThreeParts);
        assert_eq!(fault("a.scope:b:c"), PathFault::NotASlice);
        assert_eq!(fault("a--b.slice:b:c"), PathFault::NotASlice);
        assert_eq!(fault("a.slice:b:"), PathFault::NotAUnitName);
        assert_eq!(fault("a.slice:b:c d"), PathFault::NotAUnitName);
        assert_eq!(fault("a.slice:..:c"), PathFault::NotAUnitName);
        assert_eq!(fault(&format!("a.slice:b:{}", "x".repeat(250))), PathFault::NotAUnitName);
    }

    #[test]
    fn a_container_without_a_path_gets_one_of_its_own() {
        assert_eq!(CgroupPath::for_container("abc").unwrap().relative(), "ballast/abc");
        for id in ["", "..", ".", "a/b", "a\0"] {
            assert!(CgroupPath::for_container(id).is_err(), "{id:?}");
        }
    }
}
