//! Whether `sysinfo(2)` tells a container of itself: `ballast.dev/sysinfo` for every container of the pod,
//! `ballast.dev/sysinfo.<container>` for one, which comes first; else, if the node's policy says so, whoever has a view of
//! `/proc`.

use super::{Annotation, Annotations, Namespaces, PlanError};
use crate::proc_view::ViewPolicy;
use crate::seccomp::Filter;
use oci_spec::runtime::LinuxNamespaceType;

const WHAT: &str = "sysinfo";

/// The annotation's name, after the prefix.
pub(super) const NAMES: [&str; 1] = [WHAT];

/// What is to be done about a container's `sysinfo` calls.
#[derive(Debug)]
pub(crate) enum SysinfoPlan {
    /// The kernel answers.
    Off,
    /// Ballast answers; it was asked for, so that it is an error when it cannot be had.
    Asked,
    /// Ballast answers if the container has a view.
    WithView,
    /// As before, but that it cannot be done for this container.
    Prevented(PlanError),
}

/// Decides about a container; `profile` is the one that its spec has.
pub(crate) fn plan_sysinfo(
    annotations: &Annotations<'_>,
    namespaces: &Namespaces<'_>,
    profile: Option<&Filter>,
    policy: &ViewPolicy,
) -> Result<SysinfoPlan, PlanError> {
    let wish = wish(annotations)?;
    if annotations.is_of_sandbox() {
        return Ok(SysinfoPlan::Off);
    }
    match (wish, obstacle(namespaces, profile)) {
        (Some((_, false)), _) => Ok(SysinfoPlan::Off),
        (Some((annotation, true)), Some(reason)) => Err(annotation.refused(reason)),
        (Some((_, true)), None) => Ok(SysinfoPlan::Asked),
        (None, _) if !policy.sysinfo => Ok(SysinfoPlan::Off),
        (None, Some(reason)) => {
            Ok(SysinfoPlan::Prevented(PlanError::invalid("proc_view.sysinfo", "true", reason)))
        }
        (None, None) => Ok(SysinfoPlan::WithView),
    }
}

/// What the container's annotations ask for, and the one that counts.
pub(super) fn wish<'a>(annotations: &Annotations<'a>) -> Result<Option<(Annotation<'a>, bool)>, PlanError> {
    annotations.wish(WHAT, |annotation| Ok((annotation, is_on(annotation)?)))
}

fn is_on(annotation: Annotation<'_>) -> Result<bool, PlanError> {
    match annotation.value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(annotation.refused("is neither on nor off")),
    }
}

/// What in a spec keeps Ballast from answering, to be read after the value.
fn obstacle(namespaces: &Namespaces<'_>, profile: Option<&Filter>) -> Option<&'static str> {
    if profile.is_some_and(|profile| profile.notify.is_some()) {
        // seccomp(2), EBUSY.
        return Some(
            "cannot be had beside SCMP_ACT_NOTIFY in linux.seccomp: the kernel takes one listener for a process",
        );
    }
    let has_time = namespaces.new_time.is_some() || namespaces.has_own(LinuxNamespaceType::Time);
    has_time.then_some(
        "cannot be had with a time namespace in linux.namespaces, whose uptime is the kernel's to tell",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan_namespaces;
    use oci_spec::runtime::Spec;
    use serde_json::{Value, json};

    const EVERYBODY: fn() -> ViewPolicy = || ViewPolicy { sysinfo: true, ..ViewPolicy::default() };

    fn plan_of(spec: Value, policy: &ViewPolicy) -> Result<SysinfoPlan, PlanError> {
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let namespaces = plan_namespaces(&spec).unwrap();
        let profile = spec.linux().as_ref().unwrap().seccomp().as_ref();
        let profile = profile.map(|profile| crate::seccomp::compile(profile).unwrap());
        plan_sysinfo(&Annotations::of(&spec).unwrap(), &namespaces, profile.as_ref(), policy)
    }

    fn spec(annotations: Value) -> Value {
        json!({"ociVersion": "1.2.0", "annotations": annotations, "linux": {"namespaces": [{"type": "mount"}]}})
    }

    fn notifying() -> Value {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent",
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]})
    }

    #[test]
    fn it_is_off_unless_somebody_wants_it() {
        assert!(matches!(plan_of(spec(json!({})), &ViewPolicy::default()), Ok(SysinfoPlan::Off)));
        assert!(matches!(plan_of(spec(json!({})), &EVERYBODY()), Ok(SysinfoPlan::WithView)));
        let on = json!({"ballast.dev/sysinfo": "on"});
        assert!(matches!(plan_of(spec(on), &ViewPolicy::default()), Ok(SysinfoPlan::Asked)));
        let off = json!({"ballast.dev/sysinfo": "off"});
        assert!(matches!(plan_of(spec(off), &EVERYBODY()), Ok(SysinfoPlan::Off)));
    }

    #[test]
    fn a_containers_annotation_comes_before_its_pods_and_others_do_not_matter() {
        let name = "io.kubernetes.cri.container-name";
        let own = json!({"ballast.dev/sysinfo": "on", "ballast.dev/sysinfo.web": "off", name: "web"});
        assert!(matches!(plan_of(spec(own), &EVERYBODY()), Ok(SysinfoPlan::Off)));
        let others = json!({"ballast.dev/sysinfo.web": "on", name: "db"});
        assert!(matches!(plan_of(spec(others), &ViewPolicy::default()), Ok(SysinfoPlan::Off)));
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_for_the_sandbox_already() {
        let sandbox = "io.kubernetes.cri.container-type";
        for name in ["ballast.dev/sysinfo", "ballast.dev/sysinfo.other"] {
            let wrong = json!({name: "yes", sandbox: "sandbox"});
            let error = plan_of(spec(wrong), &ViewPolicy::default()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("\"yes\""), "{error}");
        }
        let on = json!({"ballast.dev/sysinfo": "on", sandbox: "sandbox"});
        assert!(matches!(plan_of(spec(on), &EVERYBODY()), Ok(SysinfoPlan::Off)));
    }

    #[test]
    fn a_profile_with_a_listener_and_a_time_namespace_refuse_who_asks_and_spare_who_does_not() {
        for (field, value, words) in [
            ("seccomp", notifying(), "SCMP_ACT_NOTIFY"),
            ("namespaces", json!([{"type": "mount"}, {"type": "time"}]), "time namespace"),
        ] {
            let mut asking = spec(json!({"ballast.dev/sysinfo": "on"}));
            asking["linux"][field] = value.clone();
            let error = plan_of(asking, &ViewPolicy::default()).unwrap_err().to_string();
            assert!(error.contains("ballast.dev/sysinfo") && error.contains(words), "{error}");
            let mut silent = spec(json!({}));
            silent["linux"][field] = value;
            match plan_of(silent.clone(), &EVERYBODY()) {
                Ok(SysinfoPlan::Prevented(error)) => {
                    let error = error.to_string();
                    assert!(error.contains("proc_view.sysinfo") && error.contains(words), "{error}");
                }
                other => panic!("{other:?}"),
            }
            assert!(matches!(plan_of(silent, &ViewPolicy::default()), Ok(SysinfoPlan::Off)));
        }
    }
}
