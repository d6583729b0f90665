//! What a container's annotations ask of its memory: `ballast.dev/memory-<what>` for every container of the pod,
//! `ballast.dev/memory-<what>.<container>` for one, which comes first. Knows their names and forms, not what becomes of them.

use ballast_cgroups::CgroupPath;
use ballast_cgroups::memory_qos::{Amount, MemoryQos, PodPlace, Policy, Wish, Wishes};
use oci_spec::runtime::Spec;

use super::PlanError;

/// All annotations that begin like this are about memory; one that is not known is a mistake.
const PREFIX: &str = "ballast.dev/memory";

/// Set by containerd: the container's name in its pod, and whether it is the sandbox.
const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";
const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

/// Collects what decides about a container's memory QoS. `None` when there is nothing to decide: neither node nor pod asks
/// for more than kubelet sent, or the container is the sandbox, for which nobody requests memory.
pub(crate) fn plan_memory_qos(
    spec: &Spec,
    cgroup_path: &CgroupPath,
    policy: &Policy,
) -> Result<Option<MemoryQos>, PlanError> {
    let annotation = |name| spec.annotations().as_ref().and_then(|all| all.get(name)).map(String::as_str);
    // Of a sandbox, too: a pod with a mistake is to fail before its images are pulled.
    let wishes = wishes(spec, annotation(CONTAINER_NAME).unwrap_or_default())?;
    if annotation(CONTAINER_TYPE) == Some("sandbox") {
        return Ok(None);
    }
    let qos = MemoryQos {
        policy: policy.clone(),
        wishes,
        place: PodPlace::of(cgroup_path),
        oom_score_adj: spec.process().as_ref().and_then(|process| process.oom_score_adj()),
    };
    Ok((!qos.is_plain()).then_some(qos))
}

fn wishes(spec: &Spec, container: &str) -> Result<Wishes, PlanError> {
    let mut annotations: Vec<(&str, &str)> = spec
        .annotations()
        .iter()
        .flatten()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // The pod's before the container's, so that the latter replaces it; and always the same one refused first.
    annotations.sort_unstable();
    let mut wishes = Wishes::default();
    for (name, value) in annotations {
        let what = name.strip_prefix(PREFIX).unwrap_or_default();
        let (what, owner) = what.split_once('.').map_or((what, None), |(what, owner)| (what, Some(owner)));
        let mut all = Wishes::default();
        read(&mut all, what, name, value)?;
        if owner == Some("") {
            return Err(PlanError::invalid(name, value, "is for a container without a name"));
        }
        if owner.is_none_or(|owner| owner == container) {
            read(&mut wishes, what, name, value)?;
        }
    }
    Ok(wishes)
}

/// Reads one annotation into its place.
fn read(wishes: &mut Wishes, what: &str, name: &str, value: &str) -> Result<(), PlanError> {
    let slot = match what {
        "-request" => &mut wishes.request,
        "-min" => &mut wishes.min,
        "-low" => &mut wishes.low,
        "-high" => &mut wishes.high,
        "-swap-max" => &mut wishes.swap_max,
        "-oom-group" => {
            wishes.oom_group = Some(match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(PlanError::invalid(name, value, "is neither true nor false")),
            });
            return Ok(());
        }
        _ => {
            return Err(PlanError::Invalid {
                field: "annotations".into(),
                value: name.to_owned(),
                reason: "is not an annotation of Ballast: there are ballast.dev/memory-request, -min, -low, -high, \
                         -swap-max and -oom-group, each also with .<container>"
                    .into(),
            });
        }
    };
    let amount = Amount::parse(value).map_err(|fault| PlanError::Invalid {
        field: name.to_owned(),
        value: value.to_owned(),
        reason: fault.to_string().into(),
    })?;
    *slot = Some(Wish { annotation: (name.to_owned(), value.to_owned()), amount });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ballast_cgroups::memory_qos::Mode;

    fn plan(annotations: &[(&str, &str)], policy: &Policy) -> Result<Option<MemoryQos>, PlanError> {
        let annotations: std::collections::HashMap<&str, &str> = annotations.iter().copied().collect();
        let spec = serde_json::json!({
            "ociVersion": "1.2.0", "annotations": annotations, "process": {"oomScoreAdj": 7, "cwd": "/", "user": {"uid": 0, "gid": 0}},
        });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        plan_memory_qos(&spec, &CgroupPath::parse("/kubepods/burstable/pod1/a").unwrap(), policy)
    }

    fn tiered() -> Policy {
        Policy { mode: Mode::Tiered, ..Policy::default() }
    }

    #[test]
    fn without_policy_and_annotations_there_is_nothing_to_decide() {
        assert_eq!(plan(&[("ballast.dev/priority", "3")], &Policy::default()).unwrap(), None);
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
