//! `ballast proc`: containers' views of `/proc`, as their shims tell.

mod report;
mod table;

use clap::{Args, Subcommand};

use self::report::Report;
use crate::{
    names::Bundles,
    output::{OutputError, print},
    pods::{self, Pod, PodsError, Shim, ShimError, Target},
};

/// Views of `/proc`.
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
    /// All containers that have a view (the default).
    List,
    /// Every file of the views of a pod or container.
    Show {
        /// Its id, the beginning of it, or its name: namespace/pod, pod/container, or one of these alone.
        name: String,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcError {
    #[error(transparent)]
    Pods(#[from] PodsError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{0} has no view of /proc")]
    NoView(String),
    /// What could be told was; the causes were, too.
    #[error("{failed} of {asked} pods did not answer")]
    Incomplete { failed: usize, asked: usize },
}

/// Carries a command out.
pub(crate) fn run(arguments: &Arguments) -> Result<(), ProcError> {
    let pods = pods::all(&arguments.bundles)?;
    match arguments.command.as_ref().unwrap_or(&Command::List) {
        Command::List => list(&pods, arguments.json),
        Command::Show { name } => show(pods::find_target(&pods, name)?, arguments.json),
    }
}

fn list(pods: &[Pod], json: bool) -> Result<(), ProcError> {
    let answers = pods::wait_for(async { Ok::<_, ProcError>(pods::of_each(pods, reports).await) })?;
    let (mut listed, mut failed) = (Vec::new(), 0);
    for answer in answers {
        match answer {
            Ok(of_pod) => listed.extend(of_pod),
            // A pod that has ended meanwhile is none to be listed.
            Err(error) if error.is_end() => {}
            Err(error) => {
                failed += 1;
                eprintln!("ballast: {}", ballast_runtime::report(&error));
            }
        }
    }
    print(json, &listed, || table::list(&listed))?;
    match failed {
        0 => Ok(()),
        failed => Err(ProcError::Incomplete { failed, asked: pods.len() }),
    }
}

fn show(target: Target<'_>, json: bool) -> Result<(), ProcError> {
    let (pod, container) = match target {
        Target::Pod(pod) => (pod, None),
        Target::Container(pod, container) => (pod, Some(&container.id)),
    };
    let mut shown = pods::wait_for(async { Ok::<_, ProcError>(reports(pod).await?) })?;
    shown.retain(|report| container.is_none_or(|id| report.id == *id));
    if shown.is_empty() {
        return Err(ProcError::NoView(target.to_string()));
    }
    Ok(print(json, &shown, || table::show(&shown))?)
}

async fn reports(pod: &Pod) -> Result<Vec<Report>, ShimError> {
    let description = Shim::connect(pod).await?.describe().await?;
    Ok(description
        .containers
        .into_iter()
        .filter_map(|container| Report::of(&pod.names, &description.namespace, container))
        .collect())
}
