//! What Ballast remembers on a cgroup whose files it changed for a priority: what was asked for, and what each file held before.
//! Written before the files, so that after a crash in between what is found in a file is known to be ours.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::files::Files;
use super::fit::Sent;
use super::level::Level;
use super::plan::Taken;
use super::report::Report;
use super::request::Request;
use super::slot::Slot;
use crate::error::{Error, Result};

/// On a container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ContainerNote {
    pub(super) request: Request,
    /// What the container's own limits set.
    #[serde(skip_serializing_if = "Taken::is_empty")]
    pub(super) taken: Taken,
    pub(super) held: Vec<Held>,
    /// For people; one of another version of Ballast may have words that this one does not know.
    #[serde(deserialize_with = "known")]
    pub(super) report: Report,
}

impl ContainerNote {
    /// Takes down what limits say. Their weight is what a lowered one goes back to.
    pub(super) fn listen_to(&mut self, sent: Sent) {
        self.taken = sent.taken;
        let share = self.held.iter_mut().find(|held| held.slot == Slot::CpuShare);
        if let (Some(share), Some(weight)) = (share, sent.cpu_weight) {
            share.before = weight.to_string();
        }
    }
}

fn known<'de, D: Deserializer<'de>>(text: D) -> std::result::Result<Report, D::Error> {
    let report = serde_json::Value::deserialize(text)?;
    Ok(serde_json::from_value(report).unwrap_or_default())
}

/// On a pod's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PodNote {
    /// What was asked for the pod; single containers may have asked for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) level: Option<Level>,
    pub(super) held: Vec<Held>,
}

/// A slot that holds our value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) slot: Slot,
    /// What it held before us.
    pub(super) before: String,
    /// Our value, as the kernel spells it; `None` while it is being written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<String>,
    /// While it is being written, and those below are to follow: the values that they follow from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) from: Vec<String>,
}

impl Held {
    /// Whether `current` is what we wrote, and not somebody else.
    pub(super) fn is_ours(&self, current: &str) -> bool {
        self.now.as_deref().is_none_or(|now| now == current)
    }
}

pub(super) fn read<N: DeserializeOwned>(files: &dyn Files, directory: &str) -> Result<Option<N>> {
    let Some(text) = files.note(directory)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(note) => Ok(Some(note)),
        Err(_) => Err(Error::format(&files.path(directory), "note of Ballast", &text)),
    }
}

pub(super) fn write(files: &dyn Files, directory: &str, note: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(note)
        .map_err(|error| Error::format(&files.path(directory), "note of Ballast", &error.to_string()))?;
    if files.note(directory)?.as_deref() == Some(&text) {
        return Ok(());
    }
    files.set_note(directory, Some(&text))
}

pub(super) fn remove(files: &dyn Files, directory: &str) -> Result<()> {
    files.set_note(directory, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_another_version_is_read_for_what_it_says_of_files() {
        let text = r#"{"request": {"level": 7, "new-wish": 3}, "report": {"entries": [{"knob": "later"}]}, "more": 1,
            "held": [{"slot": "cpu.weight", "before": "39", "now": "idle"}]}"#;
        let note: ContainerNote = serde_json::from_str(text).unwrap();
        assert_eq!(note.request.level, Some(Level::OFFLINE));
        assert_eq!(note.report, Report::default());
        let held = Held { slot: Slot::CpuShare, before: "39".into(), now: Some("idle".into()), from: vec![] };
        assert_eq!(note.held, [held]);
    }
}
