//! `ballast priority`: what a running pod's priorities are and what became of them, and an operator's word about them.

use ballast_cgroups::priority::{Level, LevelFault};
use ballast_proto::ballast_pod::Container;
use clap::Args;
use serde::Serialize;

use crate::{
    names::Bundles,
    output::{OutputError, container_name, plain, print, short},
    pods::{self, Pod, PodsError, Shim, ShimError},
};

/// Priority.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Id of a pod, the beginning of it, its name, or namespace/name.
    pod: String,
    /// 0 (online, the highest) to 7 (offline, the lowest), or `reset` to what annotations and configuration say; without, it
    /// is printed.
    #[arg(value_parser = word)]
    level: Option<Word>,
    /// Only this container: its id, the beginning of it, or its name.
    #[arg(long)]
    container: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bundles: Bundles,
}

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Level(Level),
    Reset,
}

fn word(text: &str) -> Result<Word, LevelFault> {
    if text == "reset" { Ok(Word::Reset) } else { text.parse().map(Word::Level) }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PriorityError {
    #[error(transparent)]
    Pods(#[from] PodsError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error("pod {pod} has no container with the id or name {name}")]
    NoSuchContainer { pod: String, name: String },
    #[error("{name} is the name or the beginning of the id of several containers of pod {pod}")]
    Ambiguous { pod: String, name: String },
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A container's priority, in the form that programs read. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Report {
    id: String,
    /// Empty for the sandbox.
    container: String,
    /// `null` when nobody asks for one.
    level: Option<u32>,
    /// An annotation by its name, `policy` or `operator`; `null` when nobody asks.
    source: Option<String>,
    /// What became of it, a line for each knob.
    outcomes: Vec<String>,
}

/// Carries the command out.
pub(crate) fn run(arguments: &Arguments) -> Result<(), PriorityError> {
    let pods = pods::all(&arguments.bundles)?;
    let pod = pods::find(&pods, &arguments.pod)?;
    let containers = pods::wait_for(ask(pod, arguments))?;
    let reports: Vec<Report> = containers.into_iter().map(Report::from).collect();
    Ok(print(arguments.json, &reports, || table(&reports))?)
}

async fn ask(pod: &Pod, arguments: &Arguments) -> Result<Vec<Container>, PriorityError> {
    let shim = Shim::connect(pod).await?;
    let id = arguments.container.as_deref().map(|name| container_id(pod, name)).transpose()?;
    let level = match arguments.level {
        Some(Word::Level(level)) => Some(level),
        Some(Word::Reset) => None,
        None => {
            let all = shim.describe().await?.containers.into_iter();
            return Ok(all.filter(|container| id.is_none_or(|id| container.id == id)).collect());
        }
    };
    Ok(shim.set_priority(id, level).await?)
}

fn container_id<'a>(pod: &'a Pod, name: &str) -> Result<&'a str, PriorityError> {
    let containers = &pod.containers;
    if let Some(exact) = containers.iter().find(|container| container.id == name) {
        return Ok(&exact.id);
    }
    let mut matching =
        containers.iter().filter(|container| container.name == name || container.id.starts_with(name));
    let (pod, name) = (pod.title(), name.to_owned());
    match (matching.next(), matching.next()) {
        (Some(container), None) => Ok(&container.id),
        (None, _) => Err(PriorityError::NoSuchContainer { pod, name }),
        (Some(_), Some(_)) => Err(PriorityError::Ambiguous { pod, name }),
    }
}

impl From<Container> for Report {
    fn from(container: Container) -> Self {
        let priority = container.priority.unwrap_or_default();
        Self {
            id: container.id,
            container: container.name,
            level: priority.level,
            source: Some(priority.source).filter(|source| !source.is_empty()),
            outcomes: priority.outcomes,
        }
    }
}

fn table(reports: &[Report]) -> String {
    let mut table = plain(["CONTAINER", "NAME", "PRIORITY", "FROM", "OUTCOME"]);
    for report in reports {
        table.add_row([
            short(&report.id),
            container_name(&report.container),
            report.level.map_or_else(|| "-".to_owned(), |level| level.to_string()),
            report.source.clone().unwrap_or_else(|| "-".to_owned()),
            if report.outcomes.is_empty() { "-".to_owned() } else { report.outcomes.join("\n") },
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_level_or_reset() {
        assert_eq!(word("offline"), Ok(Word::Level(Level::OFFLINE)));
        assert_eq!(word("reset"), Ok(Word::Reset));
        assert_eq!(word("8"), Err(LevelFault));
    }
}
