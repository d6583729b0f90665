//! What a container asks of the kernel beyond its limits: `ballast.dev/priority` and the finer knobs, for every container of the
//! pod or with `.<container>` for one; else in another system's words; else by the node's policy. Knows their names and
//! forms, not what becomes of them.

mod policy;
#[cfg(test)]
mod properties;
mod value;
mod vocabulary;

use super::{Annotation, Annotations, PlanError};
use ballast_cgroups::CgroupPath;
use ballast_cgroups::memory_qos::PodPlace;
use ballast_cgroups::priority::{Level, Request};
use std::fmt;

pub use policy::PriorityPolicy;
pub use vocabulary::{UnknownVocabulary, Vocabulary};

/// What a container asks for, and where that comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PriorityPlan {
    pub(crate) request: Request,
    /// Who asked for the level; `None` when nobody did.
    pub(crate) source: Option<LevelSource>,
    /// The highest level of any container of the pod, which the pod's own cgroup must leave room for; `None` when nothing is
    /// asked for all of the pod.
    pub(crate) pod_level: Option<Level>,
}

/// Who asked for a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LevelSource {
    /// An annotation, by its name: ours or another system's.
    Annotation(String),
    /// The node's or the runtime class's policy.
    Policy,
    /// An operator, with `ballast priority`.
    Operator,
}

impl fmt::Display for LevelSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(name) => formatter.write_str(name),
            Self::Policy => formatter.write_str("policy"),
            Self::Operator => formatter.write_str("operator"),
        }
    }
}

/// Collects what a container asks for.
pub(crate) fn plan_priority(
    annotations: &Annotations<'_>,
    cgroup_path: &CgroupPath,
    policy: &PriorityPolicy,
) -> Result<PriorityPlan, PlanError> {
    let mut plan = PriorityPlan::default();
    if let Some(level) = policy.level_of(|| PodPlace::of(cgroup_path).map(|place| place.class())) {
        plan.set_level(level, LevelSource::Policy);
    }
    plan.read_all(annotations, &policy.honour)?;
    plan.request.net_mark =
        policy.net_mark.zip(plan.request.net_priority).map(|(scale, level)| scale.of(level));
    if annotations.is_of_sandbox() {
        // Its process does nothing. It has the pod's level, so that it stands in no one's way.
        plan.request = Request { level: plan.request.level, ..Request::default() };
    }
    Ok(plan)
}

/// What the container's annotations ask for.
pub(super) fn request(annotations: &Annotations<'_>, honour: &[Vocabulary]) -> Result<Request, PlanError> {
    let mut plan = PriorityPlan::default();
    plan.read_all(annotations, honour)?;
    Ok(plan.request)
}

/// The annotations' names, after the prefix.
pub(super) const NAMES: [&str; 9] = [
    "priority",
    "cpu-burst",
    "cpu-smt-isolation",
    "memory-async-reclaim",
    "page-cache-limit",
    "disk-weight",
    "disk-limits",
    "net-priority",
    "net-limits",
];

impl PriorityPlan {
    fn set_level(&mut self, level: Level, source: LevelSource) {
        (self.request.level, self.source) = (Some(level), Some(source));
    }

    /// Reads all annotations, whichever container each is for.
    fn read_all(&mut self, annotations: &Annotations<'_>, honour: &[Vocabulary]) -> Result<(), PlanError> {
        if let Some((level, name)) = vocabulary::level(annotations, honour)? {
            self.set_level(level, LevelSource::Annotation(name.to_owned()));
        }
        let (general, own): (Vec<_>, Vec<_>) =
            annotations.all().partition(|annotation| annotation.owner.is_none());
        for annotation in general {
            self.read(annotation)?;
        }
        self.pod_level = self.request.level;
        for annotation in own {
            // Of others, too: whoever it is for, a mistake is the pod's.
            let mut alone = Self::default();
            alone.read(annotation)?;
            self.pod_level =
                self.pod_level.map(|level| alone.request.level.map_or(level, |own| level.min(own)));
            if annotation.is_for(annotations.container()) {
                self.read(annotation)?;
            }
        }
        Ok(())
    }

    /// Reads one annotation into its place; those about something else are others' to read.
    fn read(&mut self, annotation: Annotation<'_>) -> Result<(), PlanError> {
        let value = annotation.value;
        let read = match annotation.what {
            "priority" => {
                let source = LevelSource::Annotation(annotation.name.to_owned());
                value::level(value).map(|level| self.set_level(level, source))
            }
            "cpu-burst" => value::microseconds(value).map(|burst| self.request.cpu_burst = Some(burst)),
            "cpu-smt-isolation" => value::switch(value).map(|isolate| self.request.smt_isolation = isolate),
            "memory-async-reclaim" => {
                value::percent(value).map(|share| self.request.memory_async_reclaim = Some(share))
            }
            "page-cache-limit" => {
                value::page_cache_limit(value).map(|limit| self.request.page_cache_limit = Some(limit))
            }
            "disk-weight" => value::disk_weight(value).map(|weight| self.request.disk_weight = Some(weight)),
            "disk-limits" => value::disk_limits(value).map(|limits| self.request.disk_limits = limits),
            "net-priority" => value::level(value).map(|level| self.request.net_priority = Some(level)),
            "net-limits" => value::net_limits(value).map(|limits| self.request.net_limits = Some(limits)),
            _ => Ok(()),
        };
        read.map_err(|fault| annotation.refused(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::annotations::tests::spec_with;
    use ballast_cgroups::priority::{DiskWeight, Microseconds};

    const CONTAINER_NAME: (&str, &str) = ("io.kubernetes.cri.container-name", "web");
    const SANDBOX: (&str, &str) = ("io.kubernetes.cri.container-type", "sandbox");

    fn plan(annotations: &[(&str, &str)], policy: &PriorityPolicy) -> Result<PriorityPlan, PlanError> {
        let spec = spec_with(annotations);
        let path = CgroupPath::parse("/kubepods/besteffort/pod1/a").unwrap();
        plan_priority(&Annotations::of(&spec)?, &path, policy)
    }

    fn batch() -> PriorityPolicy {
        PriorityPolicy {
            best_effort: Some(Level::OFFLINE),
            honour: vec![Vocabulary::Volcano],
            ..PriorityPolicy::default()
        }
    }

    fn level(annotations: &[(&str, &str)], policy: &PriorityPolicy) -> Option<(u8, String)> {
        let plan = plan(annotations, policy).unwrap();
        plan.request.level.map(|level| (level.number(), plan.source.unwrap().to_string()))
    }

    #[test]
    fn nobody_asks_for_anything_by_default() {
        assert_eq!(plan(&[CONTAINER_NAME], &PriorityPolicy::default()).unwrap(), PriorityPlan::default());
    }

    #[test]
    fn the_nearest_word_about_the_level_counts() {
        let policy = batch();
        assert_eq!(level(&[], &policy), Some((7, "policy".into())));
        let volcano = ("volcano.sh/qos-level", "LS");
        assert_eq!(level(&[volcano], &policy), Some((1, "volcano.sh/qos-level".into())));
        let pod = ("ballast.dev/priority", "3");
        assert_eq!(level(&[volcano, pod], &policy), Some((3, "ballast.dev/priority".into())));
        let own = ("ballast.dev/priority.web", "online");
        let named = [volcano, pod, own, CONTAINER_NAME];
        assert_eq!(level(&named, &policy), Some((0, "ballast.dev/priority.web".into())));
        assert_eq!(level(&[volcano, pod, own], &policy).unwrap().0, 3);
        let elsewhere = CgroupPath::parse("/k8s.io/a").unwrap();
        let none = plan_priority(&Annotations::among(None).unwrap(), &elsewhere, &policy).unwrap();
        assert_eq!(none, PriorityPlan::default());
        let class_wide = PriorityPolicy { default: Some(Level::OFFLINE), ..PriorityPolicy::default() };
        let outside = plan_priority(&Annotations::among(None).unwrap(), &elsewhere, &class_wide).unwrap();
        assert_eq!(outside.request.level, Some(Level::OFFLINE));
        assert_eq!(level(&[], &class_wide), Some((7, "policy".into())));
    }

    #[test]
    fn the_pods_cgroup_leaves_room_for_its_highest_container() {
        let pod_level = |annotations: &[(&str, &str)]| {
            plan(annotations, &PriorityPolicy::default()).unwrap().pod_level.map(Level::number)
        };
        assert_eq!(pod_level(&[("ballast.dev/priority", "7")]), Some(7));
        assert_eq!(pod_level(&[("ballast.dev/priority", "7"), ("ballast.dev/priority.web", "2")]), Some(2));
        assert_eq!(pod_level(&[("ballast.dev/priority", "2"), ("ballast.dev/priority.web", "7")]), Some(2));
        // The others are not lowered by what one says.
        assert_eq!(pod_level(&[("ballast.dev/priority.web", "7")]), None);
    }

    #[test]
    fn every_knob_has_its_annotation() {
        let all = [
            CONTAINER_NAME,
            ("ballast.dev/cpu-burst", "20ms"),
            ("ballast.dev/cpu-smt-isolation.web", "true"),
            ("ballast.dev/memory-async-reclaim", "95%"),
            ("ballast.dev/page-cache-limit", "1Gi"),
            ("ballast.dev/disk-weight", "10"),
            ("ballast.dev/disk-weight.web", "500"),
            ("ballast.dev/disk-limits", "rbps=1Mi"),
            ("ballast.dev/net-priority", "offline"),
            ("ballast.dev/net-limits", "tx=1M"),
        ];
        let request = plan(&all, &PriorityPolicy::default()).unwrap().request;
        assert_eq!(request.cpu_burst, Some(Microseconds(20_000)));
        assert!(request.smt_isolation && request.level.is_none());
        assert_eq!(request.disk_weight, Some(DiskWeight::new(500).unwrap()));
        assert_eq!(request.net_priority, Some(Level::OFFLINE));
        assert!(request.memory_async_reclaim.is_some() && request.page_cache_limit.is_some());
        assert!(!request.disk_limits.is_empty() && request.net_limits.is_some());
        // Every name that is known is read by something.
        for name in NAMES {
            let name = format!("ballast.dev/{name}");
            assert!(plan(&[(&name, "?")], &PriorityPolicy::default()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_sandbox_has_the_pods_level_and_nothing_else() {
        let annotations = [
            SANDBOX,
            ("ballast.dev/priority", "7"),
            ("ballast.dev/priority.web", "0"),
            ("ballast.dev/cpu-burst", "20ms"),
        ];
        let request = plan(&annotations, &PriorityPolicy::default()).unwrap().request;
        assert_eq!(request, Request { level: Some(Level::OFFLINE), ..Request::default() });
    }

    #[test]
    fn packets_are_marked_where_marks_are_configured_and_a_priority_is_asked_for() {
        let marking =
            PriorityPolicy { net_mark: Some("0x10/0xf0".parse().unwrap()), ..PriorityPolicy::default() };
        let mark = |annotations: &[(&str, &str)], policy: &PriorityPolicy| {
            plan(annotations, policy).unwrap().request.net_mark.map(|mark| mark.to_string())
        };
        let asks = ("ballast.dev/net-priority", "7");
        assert_eq!(mark(&[asks], &marking).as_deref(), Some("0x80/0xf0"));
        assert_eq!(mark(&[asks], &PriorityPolicy::default()), None);
        assert_eq!(mark(&[("ballast.dev/priority", "7")], &marking), None);
        assert_eq!(mark(&[asks, SANDBOX], &marking), None);
    }

    #[test]
    fn every_mistake_is_refused_by_name_and_value_whomever_it_is_for() {
        for (name, value) in [
            ("ballast.dev/priority", "8"),
            ("ballast.dev/priority.other", "high"),
            ("ballast.dev/cpu-burst", "20"),
            ("ballast.dev/cpu-smt-isolation", "yes"),
            ("ballast.dev/memory-async-reclaim", "0%"),
            ("ballast.dev/page-cache-limit", "1"),
            ("ballast.dev/disk-weight", "0"),
            ("ballast.dev/disk-limits", "8:0"),
            ("ballast.dev/net-priority", ""),
            ("ballast.dev/net-limits", "100M"),
            ("volcano.sh/qos-level", "XL"),
        ] {
            let text = plan(&[SANDBOX, (name, value)], &batch()).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{name}: {value:?} ")), "{text}");
        }
    }
}
