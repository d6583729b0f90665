//! `ballast qos`: the commands, and which containers they are about.

mod container;
mod priority;
mod report;
mod table;

use ballast_cgroups::{Hierarchy, memory_qos::LevelsLock};
use ballast_runtime::STATE_DIRECTORY;
use clap::{Args, Subcommand};

use self::{container::Container, report::Report};
use crate::names::Bundles;
use crate::output::{OutputError, print};

/// Memory QoS.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    bundles: Bundles,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All containers of Ballast (the default).
    List,
    /// Everything about one container.
    Show {
        /// Its id, the beginning of it, or its name.
        container: String,
    },
    /// Put neutral values back where an annotation or the policy decided; limits and what kubelet sent stay.
    ///
    /// An update of a container decides anew: change the policy first.
    Reset {
        /// Ids, their beginnings, or names.
        #[arg(required_unless_present = "all")]
        containers: Vec<String>,
        /// All containers of Ballast.
        #[arg(long, conflicts_with = "containers")]
        all: bool,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QosError {
    #[error("read the records of containers")]
    Records(#[source] std::io::Error),
    #[error("container {id}")]
    Record {
        id: String,
        #[source]
        source: ballast_runtime::CallError,
    },
    #[error("container {id}")]
    Container {
        id: String,
        #[source]
        source: ballast_cgroups::Error,
    },
    #[error("cgroups")]
    Cgroups(#[from] ballast_cgroups::Error),
    #[error("no container of Ballast has the id or name {0}")]
    NoSuchContainer(String),
    #[error("{name} is the beginning of several ids, or the name of several containers: {ids}")]
    Ambiguous { name: String, ids: String },
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Carries a command out.
pub(crate) fn run(arguments: &Arguments) -> Result<(), QosError> {
    let hierarchy = Hierarchy::discover()?;
    let all = container::all(&hierarchy, &arguments.bundles)?;
    match arguments.command.as_ref().unwrap_or(&Command::List) {
        Command::List => {
            let reports = reports(&all)?;
            print(arguments.json, &reports, || table::list(&reports))?;
        }
        Command::Show { container } => {
            let container = container::find(&all, container)?;
            let Some(report) = Report::of(container)? else {
                return Err(QosError::NoSuchContainer(container.id.clone()));
            };
            print(arguments.json, &report, || table::show(&report))?;
        }
        Command::Reset { containers, all: everything } => {
            let chosen: Vec<&Container> = if *everything {
                all.iter().collect()
            } else {
                containers.iter().map(|name| container::find(&all, name)).collect::<Result<_, _>>()?
            };
            let resets = reset(&chosen)?;
            print(arguments.json, &resets, || table::resets(&resets))?;
        }
    }
    Ok(())
}

fn reports(containers: &[Container]) -> Result<Vec<Report>, QosError> {
    let mut reports = Vec::new();
    for container in containers {
        // Those that are gone by now are passed over.
        reports.extend(Report::of(container)?);
    }
    Ok(reports)
}

fn reset(containers: &[&Container]) -> Result<Vec<report::Reset>, QosError> {
    if containers.is_empty() {
        return Ok(Vec::new());
    }
    let lock = LevelsLock::take(STATE_DIRECTORY.as_ref())?;
    let mut resets = Vec::new();
    for container in containers {
        match container.cgroup.reset_memory_qos(&lock) {
            Ok(knobs) => resets.push(report::Reset::new(container, &knobs)),
            Err(error) if error.kind() == ballast_cgroups::Kind::NotFound => {}
            Err(source) => return Err(QosError::Container { id: container.id.clone(), source }),
        }
    }
    Ok(resets)
}
