//! Whether a container may run only on as many CPUs as its quota is worth: `ballast.dev/cpu-view` for every container of the
//! pod, `ballast.dev/cpu-view.<container>` for one, which comes first; else, if the node's policy says so, whoever has a view of
//! `/proc`.

use super::{Annotation, Annotations, PlanError};
use crate::proc_view::{CpuView, ViewPolicy};

const WHAT: &str = "cpu-view";

/// The annotation's name, after the prefix.
pub(super) const NAMES: [&str; 1] = [WHAT];

/// What is to be done about a container's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CpuViewPlan {
    /// Nothing: files alone tell of its quota.
    Files,
    /// It is narrowed; it was asked for, so that it is an error when it cannot be.
    Asked,
    /// It is narrowed if it has a view.
    WithView,
}

/// Decides about a container.
pub(crate) fn plan_cpu_view(
    annotations: &Annotations<'_>,
    policy: &ViewPolicy,
) -> Result<CpuViewPlan, PlanError> {
    Ok(match (wish(annotations)?, policy.cpu_view) {
        _ if annotations.is_of_sandbox() => CpuViewPlan::Files,
        (Some(CpuView::Cpuset), _) => CpuViewPlan::Asked,
        (None, CpuView::Cpuset) => CpuViewPlan::WithView,
        (Some(CpuView::Files), _) | (None, CpuView::Files) => CpuViewPlan::Files,
    })
}

/// What the container's annotations ask for.
pub(super) fn wish(annotations: &Annotations<'_>) -> Result<Option<CpuView>, PlanError> {
    annotations.wish(WHAT, read)
}

fn read(annotation: Annotation<'_>) -> Result<CpuView, PlanError> {
    match annotation.value {
        "files" => Ok(CpuView::Files),
        "cpuset" => Ok(CpuView::Cpuset),
        _ => Err(annotation.refused("is neither files nor cpuset")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::annotations::tests::spec_with;
    use super::*;

    fn plan(annotations: &[(&str, &str)], cpu_view: CpuView) -> Result<CpuViewPlan, PlanError> {
        let spec = spec_with(annotations);
        plan_cpu_view(&Annotations::of(&spec)?, &ViewPolicy { cpu_view, ..ViewPolicy::default() })
    }

    #[test]
    fn a_containers_annotation_comes_before_its_pods_and_both_before_the_nodes_policy() {
        let name = ("io.kubernetes.cri.container-name", "web");
        let pods = ("ballast.dev/cpu-view", "cpuset");
        assert_eq!(plan(&[], CpuView::Files).unwrap(), CpuViewPlan::Files);
        assert_eq!(plan(&[], CpuView::Cpuset).unwrap(), CpuViewPlan::WithView);
        assert_eq!(plan(&[pods, name], CpuView::Files).unwrap(), CpuViewPlan::Asked);
        let own = ("ballast.dev/cpu-view.web", "files");
        assert_eq!(plan(&[pods, own, name], CpuView::Cpuset).unwrap(), CpuViewPlan::Files);
        let of_another = ("ballast.dev/cpu-view.db", "cpuset");
        assert_eq!(plan(&[of_another, name], CpuView::Files).unwrap(), CpuViewPlan::Files);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_for_the_sandbox_already() {
        let sandbox = ("io.kubernetes.cri.container-type", "sandbox");
        let error = plan(&[("ballast.dev/cpu-view", "on"), sandbox], CpuView::Files).unwrap_err().to_string();
        assert!(error.contains("ballast.dev/cpu-view") && error.contains("\"on\""), "{error}");
        let asking = [("ballast.dev/cpu-view", "cpuset"), sandbox];
        assert_eq!(plan(&asking, CpuView::Cpuset).unwrap(), CpuViewPlan::Files);
    }
}
