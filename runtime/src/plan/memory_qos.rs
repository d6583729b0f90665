//! What a container's annotations ask of its memory: `ballast.dev/memory-<what>` for every container of the pod,
//! `ballast.dev/memory-<what>.<container>` for one, which comes first. Knows their names and forms, not what becomes of them.

use ballast_cgroups::CgroupPath;
use ballast_cgroups::memory_qos::{Amount, MemoryQos, PodPlace, Policy, Wish, Wishes};
use ballast_cgroups::priority::Level;
use oci_spec::runtime::Spec;

use super::{Annotation, Annotations, PlanError};

/// The annotations' names, after the prefix.
pub(super) const NAMES: [&str; 6] =
    ["memory-request", "memory-min", "memory-low", "memory-high", "memory-swap-max", "memory-oom-group"];

/// Collects what decides about a container's memory QoS, `priority` included. `None` for the sandbox, for which nobody requests
/// memory.
pub(crate) fn plan_memory_qos(
    spec: &Spec,
    annotations: &Annotations<'_>,
    cgroup_path: &CgroupPath,
    priority: Option<Level>,
    policy: &Policy,
) -> Result<Option<MemoryQos>, PlanError> {
    // Of a sandbox, too: a pod with a mistake is to fail before its images are pulled.
    let wishes = wishes(annotations)?;
    if annotations.is_of_sandbox() {
        return Ok(None);
    }
    Ok(Some(MemoryQos {
        policy: policy.clone(),
        wishes,
        place: PodPlace::of(cgroup_path),
        oom_score_adj: spec.process().as_ref().and_then(|process| process.oom_score_adj()),
        priority,
    }))
}

/// What the container's annotations ask for.
pub(super) fn wishes(annotations: &Annotations<'_>) -> Result<Wishes, PlanError> {
    let mut wishes = Wishes::default();
    for annotation in annotations.all() {
        // Of others, too: whoever it is for, a mistake is the pod's.
        read(&mut Wishes::default(), annotation)?;
        if annotation.is_for(annotations.container()) {
            read(&mut wishes, annotation)?;
        }
    }
    Ok(wishes)
}

/// Reads one annotation into its place; those about something else are others' to read.
fn read(wishes: &mut Wishes, annotation: Annotation<'_>) -> Result<(), PlanError> {
    let slot = match annotation.what {
        "memory-request" => &mut wishes.request,
        "memory-min" => &mut wishes.min,
        "memory-low" => &mut wishes.low,
        "memory-high" => &mut wishes.high,
        "memory-swap-max" => &mut wishes.swap_max,
        "memory-oom-group" => {
            wishes.oom_group = Some(match annotation.value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(annotation.refused("is neither true nor false")),
            });
            return Ok(());
        }
        _ => return Ok(()),
    };
    let amount = Amount::parse(annotation.value).map_err(|fault| annotation.refused(fault))?;
    *slot = Some(Wish { annotation: (annotation.name.to_owned(), annotation.value.to_owned()), amount });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ballast_cgroups::memory_qos::Mode;

    const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";
    const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

    fn plan(annotations: &[(&str, &str)], policy: &Policy) -> Result<Option<MemoryQos>, PlanError> {
        let annotations: std::collections::HashMap<&str, &str> = annotations.iter().copied().collect();
        let spec = serde_json::json!({
            "ociVersion": "1.2.0", "annotations": annotations, "process": {"oomScoreAdj": 7, "cwd": "/", "user": {"uid": 0, "gid": 0}},
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let path = CgroupPath::parse("/kubepods/burstable/pod1/a").unwrap();
        plan_memory_qos(&spec, &Annotations::of(&spec)?, &path, None, policy)
    }

    fn tiered() -> Policy {
        Policy { mode: Mode::Tiered, ..Policy::default() }
    }

    #[test]
    fn without_policy_and_annotations_there_is_nothing_to_decide() {
        let nothing = plan(&[("ballast.dev/proc-view", "on")], &Policy::default()).unwrap().unwrap();
        assert!(nothing.is_plain());
        assert_eq!(plan(&[], &tiered()).unwrap().unwrap().oom_score_adj, Some(7));
        assert_eq!(plan(&[(CONTAINER_TYPE, "sandbox")], &tiered()).unwrap(), None);
    }

    #[test]
    fn a_containers_own_annotation_comes_before_its_pods() {
        let annotations = [
            (CONTAINER_NAME, "web"),
            ("ballast.dev/memory-low", "1Mi"),
            ("ballast.dev/memory-low.web", "2Mi"),
            ("ballast.dev/memory-low.zoo", "3Mi"),
            ("ballast.dev/memory-high.zoo", "4Mi"),
            ("ballast.dev/memory-oom-group.web", "true"),
        ];
        let wishes = plan(&annotations, &Policy::default()).unwrap().unwrap().wishes;
        assert_eq!(wishes.low.unwrap().amount, Amount::Bytes(2 << 20));
        assert_eq!((wishes.high, wishes.oom_group), (None, Some(true)));
    }

    #[test]
    fn every_mistake_is_refused_by_the_annotations_name_and_value() {
        for (name, value, reason) in [
            ("ballast.dev/memory-low", "12Qi", "quantity"),
            ("ballast.dev/memory-high", "-5Mi", "negative"),
            ("ballast.dev/memory-min", "120%", "percentage"),
            ("ballast.dev/memory-swap-max", "", "quantity"),
            ("ballast.dev/memory-request.other", "lots", "quantity"),
            ("ballast.dev/memory-oom-group", "yes", "neither true nor false"),
            ("ballast.dev/memory-low.", "1Mi", "without a name"),
            ("ballast.dev/memory-lo", "1Mi", "is not an annotation of Ballast"),
            ("ballast.dev/memory_low", "1Mi", "is not an annotation of Ballast"),
            ("ballast.dev/memory-max", "1Mi", "is not an annotation of Ballast"),
            ("ballast.dev/memory", "1Mi", "is not an annotation of Ballast"),
        ] {
            for policy in [Policy::default(), tiered()] {
                let text = plan(&[(name, value)], &policy).unwrap_err().to_string();
                assert!(text.contains(name) && text.contains(reason), "{text}");
                assert!(text.contains(value) || reason.starts_with("is not an"), "{text}");
            }
        }
        // A sandbox is refused, too.
        assert!(plan(&[(CONTAINER_TYPE, "sandbox"), ("ballast.dev/memory-low", "x")], &tiered()).is_err());
    }
}
