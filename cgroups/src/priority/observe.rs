//! A container's priority as it is: what was asked for and done, and what the files hold now.

use std::path::PathBuf;

use serde::Serialize;

use super::apply::Target;
use super::files::Files;
use super::ledger::{Followers, Ledger};
use super::level::Level;
use super::note::{self, ContainerNote, Held, PodNote};
use super::report::Report;
use super::request::Request;
use crate::error::Result;

/// The priority of one container at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObservedPriority {
    /// What the container asks for.
    pub request: Request,
    /// What is asked for its pod's cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_level: Option<Level>,
    /// What was done when that was asked for.
    pub report: Report,
    /// The files that were changed, the pod's before the container's.
    pub files: Vec<ObservedFile>,
}

/// A file that Ballast changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedFile {
    /// With its directory; of `io.max` with the device behind it.
    pub path: PathBuf,
    /// What it holds; `None` when it is not there any more.
    pub value: Option<String>,
    /// What Ballast wrote, when it holds something else by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// What it held before.
    pub before: String,
}

pub(super) fn observe(files: &dyn Files, target: Target<'_>) -> Result<Option<ObservedPriority>> {
    let Some(note) = note::read::<ContainerNote>(files, target.container)? else { return Ok(None) };
    let pod: Option<PodNote> = match target.pod {
        Some(pod) => note::read(files, pod)?,
        None => None,
    };
    let mut observed = Vec::new();
    if let (Some(directory), Some(pod)) = (target.pod, &pod) {
        observed.extend(held(files, directory, &pod.held)?);
    }
    observed.extend(held(files, target.container, &note.held)?);
    Ok(Some(ObservedPriority {
        request: note.request,
        pod_level: pod.and_then(|pod| pod.level),
        report: note.report,
        files: observed,
    }))
}

fn held(files: &dyn Files, directory: &str, held: &[Held]) -> Result<Vec<ObservedFile>> {
    let ledger = Ledger {
        files,
        directory,
        parent: None,
        followers: Followers::Below,
        held: Vec::new(),
        stuck: Vec::new(),
    };
    let observed = held.iter().map(|held| {
        let value = ledger.value_of(&held.slot)?;
        Ok(ObservedFile {
            path: files.path(directory).join(held.slot.to_string()),
            written: held.now.clone().filter(|now| value.as_ref() != Some(now)),
            value,
            before: held.before.clone(),
        })
    });
    observed.collect()
}
