//! The annotations of Ballast: `ballast.dev/<what>` for every container of the pod, `ballast.dev/<what>.<container>` for one,
//! which comes first. Knows which there are and whom each is for, not what their values mean.

use super::{PlanError, cpu_view, memory_qos, priority, proc_view, sysinfo};
use oci_spec::runtime::Spec;
use std::collections::HashMap;

/// All of them begin like this; one that is not known is a mistake, or asks for what a newer Ballast does.
const PREFIX: &str = "ballast.dev/";

/// What there is, after the prefix, one list for each module that reads them.
pub(super) const KNOWN: [&[&str]; 5] =
    [&memory_qos::NAMES, &proc_view::NAMES, &sysinfo::NAMES, &cpu_view::NAMES, &priority::NAMES];

/// Set by containerd: the container's name in its pod, and whether it is the sandbox.
const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";
const CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";

/// The annotations of one container, as far as they are for Ballast.
#[derive(Debug)]
pub(crate) struct Annotations<'a> {
    all: Option<&'a HashMap<String, String>>,
    /// By name: the pod's before the container's, so that the latter replaces it; and always the same one is refused first.
    ours: Vec<Annotation<'a>>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Annotation<'a> {
    /// One of [`KNOWN`].
    pub(crate) what: &'a str,
    /// The container that it is for; `None` for all of the pod.
    pub(crate) owner: Option<&'a str>,
    /// The name as a whole.
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

impl<'a> Annotations<'a> {
    /// Those of a spec. Of a sandbox, too: a pod with a mistake is to fail before its images are pulled.
    pub(crate) fn of(spec: &'a Spec) -> Result<Self, PlanError> {
        Self::among(spec.annotations().as_ref())
    }

    /// Those among `all`.
    pub(crate) fn among(all: Option<&'a HashMap<String, String>>) -> Result<Self, PlanError> {
        let mut ours: Vec<Annotation<'_>> =
            all.into_iter().flatten().filter_map(|(name, value)| Annotation::split(name, value)).collect();
        ours.sort_unstable_by_key(|annotation| annotation.name);
        ours.iter().try_for_each(Annotation::refuse_mistakes)?;
        Ok(Self { all, ours })
    }

    /// All that are for Ballast, whichever container each is for.
    pub(crate) fn all(&self) -> impl Iterator<Item = Annotation<'a>> {
        self.ours.iter().copied()
    }

    /// What those of this name say for the container, its own before its pod's.
    ///
    /// # Errors
    /// What `read` says of any of them. Those for other containers and those of a sandbox are read, too: a pod with a mistake is to
    /// fail before its images are pulled.
    pub(crate) fn wish<T>(
        &self,
        what: &str,
        read: impl Fn(Annotation<'a>) -> Result<T, PlanError>,
    ) -> Result<Option<T>, PlanError> {
        let mut wish = None;
        for annotation in self.all().filter(|annotation| annotation.what == what) {
            let said = read(annotation)?;
            if annotation.is_for(self.container()) {
                wish = Some(said);
            }
        }
        Ok(wish)
    }

    /// The container's name; empty for the sandbox, and for containers of no pod.
    pub(crate) fn container(&self) -> &'a str {
        self.get(CONTAINER_NAME).unwrap_or_default()
    }

    /// Whether this is the pod's sandbox.
    pub(crate) fn is_of_sandbox(&self) -> bool {
        self.get(CONTAINER_TYPE) == Some("sandbox")
    }

    /// An annotation of anybody's, by its whole name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.all?.get(name).map(String::as_str)
    }
}

impl<'a> Annotation<'a> {
    fn split(name: &'a str, value: &'a str) -> Option<Self> {
        let what = name.strip_prefix(PREFIX)?;
        let (what, owner) = what.split_once('.').map_or((what, None), |(what, owner)| (what, Some(owner)));
        Some(Self { what, owner, name, value })
    }

    /// Whether it is for this container.
    pub(crate) fn is_for(&self, container: &str) -> bool {
        self.owner.is_none_or(|owner| owner == container)
    }

    /// Whether it is about the container's priority, which can change while it runs.
    pub(crate) fn is_about_priority(&self) -> bool {
        priority::NAMES.contains(&self.what)
    }

    /// The error for a value that is wrong in some way, to be read after the value.
    pub(crate) fn refused(&self, reason: impl ToString) -> PlanError {
        PlanError::Invalid {
            field: self.name.to_owned(),
            value: self.value.to_owned(),
            reason: reason.to_string().into(),
        }
    }

    fn refuse_mistakes(&self) -> Result<(), PlanError> {
        if !KNOWN.iter().any(|names| names.contains(&self.what)) {
            return Err(PlanError::Invalid {
                field: "annotations".into(),
                value: self.name.to_owned(),
                reason: format!(
                    "is not an annotation of Ballast: there are {PREFIX}{}, each also with .<container>",
                    KNOWN.concat().join(", ")
                )
                .into(),
            });
        }
        if self.owner == Some("") {
            return Err(self.refused("is for a container without a name"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A spec with nothing but annotations.
    pub(in crate::plan) fn spec_with(annotations: &[(&str, &str)]) -> Spec {
        let annotations: HashMap<&str, &str> = annotations.iter().copied().collect();
        serde_json::from_value(serde_json::json!({"ociVersion": "1.2.0", "annotations": annotations}))
            .unwrap()
    }

    #[test]
    fn only_what_begins_like_ours_is_ours() {
        let spec = spec_with(&[
            ("ballast.dev/memory-low.web", "1Mi"),
            ("ballast.dev/memory-low", "2Mi"),
            ("ballast.devious/memory-low", "3Mi"),
            ("example.org/memory-low", "4Mi"),
            (CONTAINER_NAME, "web"),
        ]);
        let annotations = Annotations::of(&spec).unwrap();
        let low: Vec<_> = annotations.all().map(|one| (one.owner, one.value)).collect();
        assert_eq!(low, [(None, "2Mi"), (Some("web"), "1Mi")]);
        assert_eq!((annotations.container(), annotations.is_of_sandbox()), ("web", false));
        assert_eq!(annotations.get("example.org/memory-low"), Some("4Mi"));
    }

    #[test]
    fn one_that_is_not_known_is_refused_by_name_with_those_that_are() {
        for name in ["ballast.dev/memory-lo", "ballast.dev/proc", "ballast.dev/", "ballast.dev/Proc-view.web"]
        {
            let spec = spec_with(&[(name, "on")]);
            let text = Annotations::of(&spec).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("memory-request, "), "{text}");
        }
        let spec = spec_with(&[("ballast.dev/proc-view.", "on")]);
        let error = Annotations::of(&spec).unwrap_err();
        assert_eq!(error.to_string(), r#"ballast.dev/proc-view.: "on" is for a container without a name"#);
    }
}
