//! `linux.namespaces`: which are made, which are joined, and that what joins is what it says.

use super::{IdMaps, PlanError};
use oci_spec::runtime::{LinuxNamespaceType, LinuxTimeOffset, Spec};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

/// Namespaces that a process enters by cloning into them; the cgroup and time namespaces have rules of their own.
const CLONED: [LinuxNamespaceType; 5] = [
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Pid,
];

/// The container's namespaces: open where they exist already, to be made where not. Those in neither are the host's.
#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a> {
    /// The user namespace: joined, or made with the spec's mappings.
    pub(crate) user: Option<UserNamespace<'a>>,
    /// The pid namespace to be born in.
    pub(crate) pid: Option<OwnedFd>,
    /// Those to join, by `CLONE_NEW*` bit.
    pub(crate) join: Vec<(u32, OwnedFd)>,
    /// `CLONE_NEW*` bits of those that the clone makes.
    pub(crate) new: u32,
    pub(crate) new_cgroup: bool,
    /// Lines for `timens_offsets`.
    pub(crate) new_time: Option<String>,
}

#[derive(Debug)]
pub(crate) enum UserNamespace<'a> {
    Join(OwnedFd),
    New(IdMaps<'a>),
}

impl Namespaces<'_> {
    /// Whether the container has this namespace for itself or shares it with its pod, rather than with the host.
    pub(crate) fn has_own(&self, kind: LinuxNamespaceType) -> bool {
        let bit = clone_bit(kind);
        match kind {
            LinuxNamespaceType::User => self.user.is_some(),
            LinuxNamespaceType::Pid => self.pid.is_some() || self.makes(kind),
            LinuxNamespaceType::Cgroup => {
                self.new_cgroup || self.join.iter().any(|(joined, _)| *joined == bit)
            }
            _ => self.makes(kind) || self.join.iter().any(|(joined, _)| *joined == bit),
        }
    }

    /// Whether the clone makes this namespace.
    pub(crate) fn makes(&self, kind: LinuxNamespaceType) -> bool {
        self.new & clone_bit(kind) != 0
    }
}

/// Reads `linux.namespaces`, `uidMappings`, `gidMappings` and `timeOffsets`, and opens what is given by path.
pub(crate) fn plan_namespaces(spec: &Spec) -> Result<Namespaces<'_>, PlanError> {
    let Some(linux) = spec.linux() else { return Err(PlanError::Missing { field: "linux" }) };
    let mut namespaces = Namespaces::default();
    let mut seen = 0_u32;
    let mut makes_user = false;
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let kind = namespace.typ();
        let bit = clone_bit(kind);
        if seen & bit != 0 {
            return Err(PlanError::invalid(
                format!("linux.namespaces[{index}].type"),
                kind.to_string(),
                "is listed twice",
            ));
        }
        seen |= bit;
        match namespace.path() {
            Some(path) if !path.as_os_str().is_empty() => {
                let opened = open(&format!("linux.namespaces[{index}].path"), path)?;
                match kind {
                    LinuxNamespaceType::User => namespaces.user = Some(UserNamespace::Join(opened)),
                    LinuxNamespaceType::Pid => namespaces.pid = Some(opened),
                    LinuxNamespaceType::Mount => {
                        return Err(PlanError::Unsupported {
                            field: "linux.namespaces: joining a mount namespace by path".into(),
                        });
                    }
                    _ => namespaces.join.push((bit, opened)),
                }
            }
            _ if CLONED.contains(&kind) => namespaces.new |= bit,
            _ => match kind {
                LinuxNamespaceType::Cgroup => namespaces.new_cgroup = true,
                LinuxNamespaceType::Time => {
                    namespaces.new_time = Some(time_offsets(linux.time_offsets().as_ref())?)
                }
                _ => makes_user = true,
            },
        }
    }
    if seen & clone_bit(LinuxNamespaceType::Mount) == 0 {
        return Err(PlanError::Unsupported {
            field: "linux.namespaces: sharing the host's mount namespace".into(),
        });
    }
    if linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())
        && namespaces.new_time.is_none()
    {
        return Err(PlanError::invalid(
            "linux.timeOffsets",
            "",
            "needs a time namespace of the container's own",
        ));
    }
    let maps = IdMaps::from_spec("linux", linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref())?;
    match (makes_user, maps) {
        (true, Some(maps)) => namespaces.user = Some(UserNamespace::New(maps)),
        (true, None) => {
            return Err(PlanError::Missing { field: "linux.uidMappings for the new user namespace" });
        }
        (false, Some(_)) if namespaces.user.is_none() => {
            return Err(PlanError::invalid(
                "linux.uidMappings",
                "",
                "needs a user namespace in linux.namespaces",
            ));
        }
        (false, _) => {}
    }
    Ok(namespaces)
}

fn clone_bit(kind: LinuxNamespaceType) -> u32 {
    let flags = match kind {
        LinuxNamespaceType::Mount => UnshareFlags::NEWNS,
        LinuxNamespaceType::Cgroup => UnshareFlags::NEWCGROUP,
        LinuxNamespaceType::Uts => UnshareFlags::NEWUTS,
        LinuxNamespaceType::Ipc => UnshareFlags::NEWIPC,
        LinuxNamespaceType::User => UnshareFlags::NEWUSER,
        LinuxNamespaceType::Pid => UnshareFlags::NEWPID,
        LinuxNamespaceType::Network => UnshareFlags::NEWNET,
        LinuxNamespaceType::Time => UnshareFlags::NEWTIME,
    };
    flags.bits()
}

fn open(field: &str, path: &Path) -> Result<OwnedFd, PlanError> {
    let unusable = |action, errno| PlanError::Unusable {
        field: field.to_owned(),
        value: path.display().to_string(),
        action,
        errno,
    };
    let namespace = openat(CWD, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| unusable("cannot be opened", errno))?;
    // setns(2) would refuse another file with a bare EINVAL, and later.
    const NSFS_MAGIC: i64 = 0x6e73_6673;
    match rustix::fs::fstatfs(&namespace) {
        Ok(file_system) if file_system.f_type == NSFS_MAGIC => Ok(namespace),
        Ok(_) => Err(unusable("is not a namespace", Errno::INVAL)),
        Err(errno) => Err(unusable("cannot be examined", errno)),
    }
}

fn time_offsets(offsets: Option<&HashMap<String, LinuxTimeOffset>>) -> Result<String, PlanError> {
    let mut lines = String::new();
    for (clock, offset) in offsets.into_iter().flatten() {
        if clock != "monotonic" && clock != "boottime" {
            return Err(PlanError::invalid(
                "linux.timeOffsets",
                clock,
                "is a clock that no time namespace offsets",
            ));
        }
        // Writing to a String cannot fail.
        let _infallible =
            writeln!(lines, "{clock} {} {}", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(namespaces: &str, rest: &str) -> Spec {
        serde_json::from_str(&format!(
            r#"{{"ociVersion":"1.2.0","linux":{{"namespaces":{namespaces}{rest}}}}}"#
        ))
        .unwrap()
    }

    fn refusal(namespaces: &str, rest: &str) -> String {
        crate::error::report(&plan_namespaces(&spec(namespaces, rest)).unwrap_err())
    }

    #[test]
    fn a_namespace_without_path_is_made_and_one_with_path_is_joined() {
        let spec = spec(
            r#"[{"type":"mount"},{"type":"pid"},{"type":"cgroup"},{"type":"ipc","path":"/proc/self/ns/ipc"}]"#,
            "",
        );
        let namespaces = plan_namespaces(&spec).unwrap();
        assert!(namespaces.makes(LinuxNamespaceType::Mount) && namespaces.makes(LinuxNamespaceType::Pid));
        assert!(!namespaces.makes(LinuxNamespaceType::Ipc) && namespaces.has_own(LinuxNamespaceType::Ipc));
        assert!(namespaces.new_cgroup && !namespaces.has_own(LinuxNamespaceType::Network));
    }

    #[test]
    fn a_path_that_is_no_namespace_is_refused_by_field_and_path() {
        let error = refusal(r#"[{"type":"mount"},{"type":"network","path":"/etc/passwd"}]"#, "");
        assert!(error.contains("linux.namespaces[1].path") && error.contains("/etc/passwd"), "{error}");
        let error = refusal(r#"[{"type":"mount"},{"type":"network","path":"/no/such"}]"#, "");
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_namespace_that_is_listed_twice_is_refused() {
        assert!(refusal(r#"[{"type":"mount"},{"type":"mount"}]"#, "").contains("listed twice"));
    }

    #[test]
    fn a_new_user_namespace_needs_mappings_of_both_kinds() {
        assert!(refusal(r#"[{"type":"mount"},{"type":"user"}]"#, "").contains("linux.uidMappings"));
        let half = r#","uidMappings":[{"containerID":0,"hostID":1,"size":1}]"#;
        assert!(refusal(r#"[{"type":"mount"},{"type":"user"}]"#, half).contains("without the other"));
    }
}
