//! Whether a container gets a view of its own below `/proc`: `ballast.dev/proc-view` for every container of the pod,
//! `ballast.dev/proc-view.<container>` for one, which comes first; else by the node's policy.

use super::{Annotation, Annotations, Namespaces, PlanError, normalized};
use crate::proc_view::figures::Rounding;
use crate::proc_view::{Containers, Selection, ViewFile, ViewPolicy};
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Mount, Spec};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const WHAT: &str = "proc-view";

const CPUS: &str = "/sys/devices/system/cpu";
/// The annotation's name, after the prefix.
pub(super) const NAMES: [&str; 1] = [WHAT];

/// What an annotation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewWish {
    /// No view.
    Off,
    /// A view of the files that the node's policy names.
    On,
    /// A view of these files.
    Files(Selection),
}

/// A view that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewPlan {
    pub(crate) files: Selection,
    pub(crate) rounding: Rounding,
    pub(crate) reason: ViewReason,
}

/// Why there is to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewReason {
    /// It was asked for, so that it is an error when it cannot be made.
    Asked,
    /// The policy gives it to containers like this one.
    Policy,
    /// The policy gives it if the pod has a limit, which its cgroup tells.
    PolicyIfPodIsLimited,
}

/// Decides on the view of a container; `None` when there is to be none.
pub(crate) fn plan_proc_view(
    spec: &Spec,
    annotations: &Annotations<'_>,
    namespaces: &Namespaces<'_>,
    policy: &ViewPolicy,
) -> Result<Option<ViewPlan>, PlanError> {
    let wish = wish(annotations)?;
    if annotations.is_of_sandbox() {
        return Ok(None);
    }
    let (files, reason) = match wish {
        Some(ViewWish::Off) => return Ok(None),
        Some(ViewWish::On) => (policy.files, ViewReason::Asked),
        Some(ViewWish::Files(files)) => (files, ViewReason::Asked),
        None if is_exempt(spec, namespaces) || nests_containers(spec, namespaces) => return Ok(None),
        None => match policy.containers {
            Containers::None => return Ok(None),
            Containers::All => (policy.files, ViewReason::Policy),
            Containers::Limited if is_limited(spec) => (policy.files, ViewReason::Policy),
            Containers::Limited => (policy.files, ViewReason::PolicyIfPodIsLimited),
        },
    };
    let files = without_own_mounts(shown(files, namespaces), spec);
    Ok(Some(ViewPlan { files, rounding: policy.rounding, reason }))
}

/// Whether this is a sandbox, and containers of its pod will get views, as far as that can be known before they are there.
pub(crate) fn precedes_views(annotations: &Annotations<'_>, policy: &ViewPolicy) -> Result<bool, PlanError> {
    Ok(annotations.is_of_sandbox()
        && match wish(annotations)? {
            Some(wish) => wish != ViewWish::Off,
            None => policy.containers != Containers::None,
        })
}

/// What the container's annotations ask for.
pub(super) fn wish(annotations: &Annotations<'_>) -> Result<Option<ViewWish>, PlanError> {
    annotations.wish(WHAT, read)
}

fn read(annotation: Annotation<'_>) -> Result<ViewWish, PlanError> {
    match annotation.value {
        "off" => Ok(ViewWish::Off),
        "on" => Ok(ViewWish::On),
        list => Selection::parse(list)
            .map(ViewWish::Files)
            .map_err(|error| annotation.refused(format!("is neither on nor off, and {error}"))),
    }
}

/// In a time namespace of the spec's choice the kernel's own `uptime` is right, and `stat` would need its offset.
fn shown(files: Selection, namespaces: &Namespaces<'_>) -> Selection {
    let has_time = namespaces.new_time.is_some() || namespaces.has_own(LinuxNamespaceType::Time);
    if has_time { files.without(ViewFile::Uptime).without(ViewFile::Stat) } else { files }
}

/// What the spec mounts something over, itself or a directory that it is in, stays as the spec has it. `/proc` and `/sys`
/// are where the kernel's files are; that these are the kernel's is checked when they are covered.
fn without_own_mounts(files: Selection, spec: &Spec) -> Selection {
    let mounts: Vec<_> = spec
        .mounts()
        .iter()
        .flatten()
        .map(|mount| normalized(mount.destination()))
        .filter(|path| is_below("/proc", path) || is_below("/sys", path))
        .collect();
    let is_covered = |path: &Path| mounts.iter().any(|mount| path.starts_with(mount));
    // The directory of the CPUs is covered as a whole.
    let has_own_cpus = is_covered(Path::new(CPUS)) || mounts.iter().any(|mount| mount.starts_with(CPUS));
    let is_own = |file: &ViewFile| {
        let path = Path::new(std::ffi::OsStr::from_bytes(file.path().to_bytes()));
        if path.starts_with(CPUS) { has_own_cpus } else { is_covered(path) }
    };
    let mut kept = files.files().filter(is_own).fold(files, Selection::without);
    let has_own_pressure = mounts.iter().any(|mount| mount.starts_with("/proc/pressure"));
    kept.pressure &= !has_own_pressure;
    kept
}

fn is_below(directory: &str, path: &Path) -> bool {
    path.strip_prefix(directory).is_ok_and(|rest| !rest.as_os_str().is_empty())
}

/// Privileged containers, for which CRI leaves `/sys` writable, and those that see the host's processes manage the host.
fn is_exempt(spec: &Spec, namespaces: &Namespaces<'_>) -> bool {
    let is_read_only =
        |mount: &Mount| mount.options().iter().flatten().any(|option| matches!(&**option, "ro" | "rro"));
    let mut sysfs = spec.mounts().iter().flatten().filter(|mount| mount.destination() == Path::new("/sys"));
    sysfs.any(|mount| !is_read_only(mount)) || sees_host_processes(namespaces)
}

/// Kubernetes' `procMount: Unmasked`, which it allows in user namespaces only: containers within this one are to mount procfs, and
/// the kernel lets a user namespace do so only while nothing covers a part of the procfs that it sees (Linux `fs/namespace.c`,
/// `mount_too_revealing`).
fn nests_containers(spec: &Spec, namespaces: &Namespaces<'_>) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let covers_proc =
        |paths: &Option<Vec<String>>| paths.iter().flatten().any(|path| path.starts_with("/proc/"));
    namespaces.has_own(LinuxNamespaceType::User)
        && !covers_proc(linux.masked_paths())
        && !covers_proc(linux.readonly_paths())
}

/// CRI says that by the path of the sandbox's namespace, which is the host's then.
fn sees_host_processes(namespaces: &Namespaces<'_>) -> bool {
    let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    match &namespaces.pid {
        Some(joined) => {
            let (joined, own) = (rustix::fs::fstat(joined), rustix::fs::stat("/proc/self/ns/pid"));
            matches!((joined, own), (Ok(joined), Ok(own)) if inode(joined) == inode(own))
        }
        None => !namespaces.makes(LinuxNamespaceType::Pid),
    }
}

fn is_limited(spec: &Spec) -> bool {
    let Some(resources) = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()) else {
        return false;
    };
    let memory = resources.memory().as_ref().and_then(|memory| memory.limit()).is_some_and(|limit| limit > 0);
    memory || has_cpu_limit(resources) || has_unified_limit(resources)
}

fn has_cpu_limit(resources: &LinuxResources) -> bool {
    resources.cpu().as_ref().is_some_and(|cpu| {
        cpu.quota().is_some_and(|quota| quota > 0) || cpu.cpus().as_ref().is_some_and(|cpus| !cpus.is_empty())
    })
}

fn has_unified_limit(resources: &LinuxResources) -> bool {
    let limits = resources.unified().iter().flatten();
    let mut limits = limits
        .filter(|(file, _)| matches!(&***file, "memory.max" | "memory.high" | "cpu.max" | "cpuset.cpus"));
    limits.any(|(_, value)| !value.starts_with("max"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan_namespaces;
    use crate::proc_view::CpuView;
    use serde_json::{Value, json};

    const NOBODY: ViewPolicy = ViewPolicy {
        containers: Containers::None,
        files: Selection::ALL,
        rounding: Rounding::Up,
        sysinfo: false,
        cpu_view: CpuView::Files,
    };
    const LIMITED: ViewPolicy = ViewPolicy { containers: Containers::Limited, ..NOBODY };

    fn plan_of(spec: Value, policy: &ViewPolicy) -> Result<Option<ViewPlan>, PlanError> {
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let namespaces = plan_namespaces(&spec).unwrap();
        plan_proc_view(&spec, &Annotations::of(&spec)?, &namespaces, policy)
    }

    fn spec(annotations: Value, resources: Value) -> Value {
        json!({
            "ociVersion": "1.2.0", "annotations": annotations,
            "mounts": [{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}],
            "linux": {
                "namespaces": [{"type": "mount"}, {"type": "pid"}], "resources": resources,
            },
        })
    }

    fn reason(annotations: Value, resources: Value) -> Option<ViewReason> {
        plan_of(spec(annotations, resources), &LIMITED).unwrap().map(|plan| plan.reason)
    }

    #[test]
    fn a_limit_is_what_the_default_policy_looks_for() {
        for limit in [
            json!({"memory": {"limit": 1 << 20}}),
            json!({"cpu": {"quota": 50_000}}),
            json!({"cpu": {"cpus": "0-1"}}),
            json!({"unified": {"memory.max": "1000000"}}),
        ] {
            assert_eq!(reason(json!({}), limit.clone()), Some(ViewReason::Policy), "{limit}");
        }
        for none in [
            json!({}),
            json!({"memory": {"limit": -1}, "cpu": {"quota": -1}}),
            json!({"unified": {"memory.max": "max"}}),
        ] {
            assert_eq!(reason(json!({}), none.clone()), Some(ViewReason::PolicyIfPodIsLimited), "{none}");
        }
    }

    #[test]
    fn a_containers_annotation_comes_before_its_pods() {
        let on_but_for_one = json!({
            "ballast.dev/proc-view": "on", "ballast.dev/proc-view.a": "off", "io.kubernetes.cri.container-name": "a",
        });
        assert_eq!(reason(on_but_for_one, json!({})), None);
        let off_but_for_one = json!({
            "ballast.dev/proc-view": "off", "ballast.dev/proc-view.a": "meminfo,cpu", "io.kubernetes.cri.container-name": "a",
        });
        let plan = plan_of(spec(off_but_for_one, json!({})), &ViewPolicy::default()).unwrap().unwrap();
        assert_eq!((plan.reason, plan.files), (ViewReason::Asked, Selection::parse("meminfo,cpu").unwrap()));
        let for_another = json!({"ballast.dev/proc-view.b": "on", "io.kubernetes.cri.container-name": "a"});
        assert_eq!(plan_of(spec(for_another, json!({})), &NOBODY).unwrap(), None);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_for_the_sandbox_already_whomever_it_is_for() {
        for name in ["ballast.dev/proc-view", "ballast.dev/proc-view.web"] {
            let wrong = json!({name: "yes", "io.kubernetes.cri.container-type": "sandbox"});
            let error = plan_of(spec(wrong, json!({})), &LIMITED).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: \"yes\" ")) && error.contains("meminfo"), "{error}");
        }
    }

    #[test]
    fn the_sandbox_the_privileged_and_those_of_the_hosts_pids_have_none_by_default() {
        assert_eq!(
            reason(json!({"io.kubernetes.cri.container-type": "sandbox"}), json!({"cpu": {"quota": 1000}})),
            None
        );
        let asked = json!({"ballast.dev/proc-view": "on"});
        for (path, value) in [
            ("/mounts/0/options", json!(["nosuid"])),
            ("/linux/namespaces", json!([{"type": "mount"}])),
            ("/linux/namespaces", json!([{"type": "mount"}, {"type": "pid", "path": "/proc/self/ns/pid"}])),
        ] {
            let mut exempt = spec(json!({}), json!({"cpu": {"quota": 1000}}));
            *exempt.pointer_mut(path).unwrap() = value;
            assert_eq!(plan_of(exempt.clone(), &LIMITED).unwrap(), None, "{path}");
            exempt["annotations"] = asked.clone();
            assert!(plan_of(exempt, &LIMITED).unwrap().is_some(), "{path}");
        }
    }

    #[test]
    fn what_the_spec_mounts_over_stays_the_specs() {
        let files = |destinations: &[&str]| {
            let mut spec = spec(json!({"ballast.dev/proc-view": "on"}), json!({}));
            for destination in destinations {
                let mount = json!({"destination": destination, "type": "bind", "source": "/etc"});
                spec["mounts"].as_array_mut().unwrap().push(mount);
            }
            plan_of(spec, &LIMITED).unwrap().unwrap().files
        };
        assert_eq!(files(&["/proc", "/sys/fs/cgroup", "/proc/meminfo.d"]), Selection::ALL);
        assert_eq!(files(&["/proc/./x/../meminfo"]), Selection::ALL.without(ViewFile::MemInfo));
        let without_cpus = files(&["/sys/devices"]);
        assert!(!without_cpus.contains(ViewFile::CpusOnline) && without_cpus.contains(ViewFile::CpuInfo));
        let mut below = files(&["/sys/devices/system/cpu/online"]).files();
        assert!(
            below.all(|file| !file.path().to_bytes().starts_with(b"/sys/")),
            "nothing of the pod's is hidden"
        );
        assert!(without_cpus.pressure && !files(&["/proc/pressure/cpu"]).pressure);
    }

    #[test]
    fn a_container_that_nests_others_in_its_user_namespace_has_to_ask() {
        let limit = json!({"memory": {"limit": 1 << 20}});
        let mut nesting = spec(json!({}), limit.clone());
        nesting["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}, {"type": "user"}]);
        nesting["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        nesting["linux"]["gidMappings"] = nesting["linux"]["uidMappings"].clone();
        assert_eq!(plan_of(nesting.clone(), &LIMITED).unwrap(), None);
        for (field, path) in [("maskedPaths", "/proc/kcore"), ("readonlyPaths", "/proc/sys")] {
            let mut masked = nesting.clone();
            masked["linux"][field] = json!([path]);
            assert!(plan_of(masked, &LIMITED).unwrap().is_some(), "{field}");
        }
        nesting["annotations"] = json!({"ballast.dev/proc-view": "on"});
        assert!(plan_of(nesting, &LIMITED).unwrap().is_some());
    }

    #[test]
    fn a_time_namespace_of_the_specs_keeps_its_uptime() {
        let mut spec = spec(json!({"ballast.dev/proc-view": "on"}), json!({}));
        spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "time"}]);
        let plan = plan_of(spec, &LIMITED).unwrap().unwrap();
        assert!(!plan.files.contains(ViewFile::Uptime) && plan.files.contains(ViewFile::MemInfo));
    }
}
