//! What a container's annotations ask for, all at once and apart from its spec: what can be said of a pod before a node has it,
//! as an admission webhook would. Knows no annotation's name or form.

use super::{
    Annotations, PlanError, ViewWish, Vocabulary, cpu_view, memory_qos, priority, proc_view, sysinfo,
};
use crate::proc_view::CpuView;
use ballast_cgroups::memory_qos::Wishes;
use ballast_cgroups::priority::Request;
use std::collections::HashMap;

/// What one container of a pod asks for. What it does not mention is the node's policy's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// `ballast.dev/memory-*`
    pub memory: Wishes,
    /// `ballast.dev/priority` and the finer ones, or the level in another system's words.
    pub priority: Request,
    /// `ballast.dev/proc-view`
    pub proc_view: Option<ViewWish>,
    /// `ballast.dev/sysinfo`
    pub sysinfo: Option<bool>,
    /// `ballast.dev/cpu-view`
    pub cpu_view: Option<CpuView>,
}

impl Asked {
    /// Reads annotations as they are in a `config.json`: those of the pod, and of those for one container the ones of the
    /// container that `io.kubernetes.cri.container-name` names. Other systems' words count if the systems are in `honour`.
    ///
    /// # Errors
    /// The first mistake in any of them, whichever container it is for, as creating the container would tell it. What only
    /// the rest of its spec or the node can make wrong is not looked at.
    pub fn by(annotations: &HashMap<String, String>, honour: &[Vocabulary]) -> Result<Self, PlanError> {
        let annotations = Annotations::among(Some(annotations))?;
        Ok(Self {
            priority: priority::request(&annotations, honour)?,
            memory: memory_qos::wishes(&annotations)?,
            sysinfo: sysinfo::wish(&annotations)?.map(|(_, is_on)| is_on),
            cpu_view: cpu_view::wish(&annotations)?,
            proc_view: proc_view::wish(&annotations)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::annotations::KNOWN;

    fn asked(annotations: &[(&str, &str)]) -> Result<Asked, PlanError> {
        let owned = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Asked::by(&owned.collect(), &[Vocabulary::Volcano])
    }

    #[test]
    fn a_container_asks_by_its_pods_annotations_and_its_own() {
        let asked = asked(&[
            ("io.kubernetes.cri.container-name", "web"),
            ("ballast.dev/proc-view", "off"),
            ("ballast.dev/proc-view.web", "on"),
            ("ballast.dev/sysinfo.other", "on"),
            ("ballast.dev/cpu-view", "cpuset"),
            ("ballast.dev/memory-oom-group", "true"),
            ("volcano.sh/qos-level", "LS"),
        ])
        .unwrap();
        assert_eq!((asked.proc_view, asked.sysinfo), (Some(ViewWish::On), None));
        assert_eq!((asked.cpu_view, asked.memory.oom_group), (Some(CpuView::Cpuset), Some(true)));
        assert_eq!(asked.priority.level.map(|level| level.number()), Some(1));
    }

    #[test]
    fn a_mistake_in_any_annotation_is_told_whomever_it_is_for() {
        for what in KNOWN.concat() {
            for name in [format!("ballast.dev/{what}"), format!("ballast.dev/{what}.other")] {
                let error = asked(&[(&name, "?")]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name}: \"?\" ")), "{error}");
            }
        }
        assert!(asked(&[("ballast.dev/proc", "on")]).is_err());
        assert!(asked(&[("volcano.sh/qos-level", "?")]).is_err());
    }
}
