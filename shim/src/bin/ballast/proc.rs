//! `ballast proc`: containers' views of `/proc`, as their shims tell.

mod report;
mod table;

use ballast_proto::ballast_pod::Placement;
use clap::{Args, Subcommand};
use futures_util::future::join_all;

use self::report::{Change, Report};
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
    /// Put the host's files back in running containers, at once; files that are open keep their content.
    ///
    /// It holds until it is put on again, or the container is made anew.
    Off(Containers),
    /// Put the views back that were put off.
    On(Containers),
}

/// Which containers.
#[derive(Debug, Args)]
struct Containers {
    /// Ids of pods or containers, their beginnings, or names: namespace/pod, pod/container, or one of these alone.
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// Everything on this node.
    #[arg(long, conflicts_with = "names")]
    all: bool,
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
    #[error("{failed} of {asked} pods could not be asked")]
    Incomplete { failed: usize, asked: usize },
    /// The causes are in what was printed.
    #[error("{failed} of {asked} containers could not be changed")]
    Unchanged { failed: usize, asked: usize },
}

/// Carries a command out.
pub(crate) fn run(arguments: &Arguments) -> Result<(), ProcError> {
    let pods = pods::all(&arguments.bundles)?;
    match arguments.command.as_ref().unwrap_or(&Command::List) {
        Command::List => list(&pods, arguments.json),
        Command::Show { name } => show(pods::find_target(&pods, name)?, arguments.json),
        Command::Off(containers) => place(&pods, containers, Placement::WITHDRAWN, arguments.json),
        Command::On(containers) => place(&pods, containers, Placement::IN_PLACE, arguments.json),
    }
}

fn list(pods: &[Pod], json: bool) -> Result<(), ProcError> {
    let targets = pods.iter().map(Target::Pod).collect();
    let (listed, answered) = of_each(targets, |target| reports(target.pod()))?;
    print(json, &listed, || table::list(&listed))?;
    answered
}

fn place(pods: &[Pod], containers: &Containers, placement: Placement, json: bool) -> Result<(), ProcError> {
    let targets = if containers.all {
        pods.iter().map(Target::Pod).collect()
    } else {
        containers.names.iter().map(|name| pods::find_target(pods, name)).collect::<Result<_, _>>()?
    };
    let (changes, answered) = of_each(targets, |target| place_in(target, placement))?;
    if changes.is_empty() && answered.is_ok() && !containers.all {
        return Err(ProcError::NoView(containers.names.join(", ")));
    }
    print(json, &changes, || table::changes(&changes))?;
    answered?;
    match changes.iter().filter(|change| change.failure.is_some()).count() {
        0 => Ok(()),
        failed => Err(ProcError::Unchanged { failed, asked: changes.len() }),
    }
}

/// Asks the shims of all targets. Beside the answers, whether all of them were given.
fn of_each<'a, T, Answer>(
    targets: Vec<Target<'a>>,
    ask: impl Fn(Target<'a>) -> Answer,
) -> Result<(Vec<T>, Result<(), ProcError>), ProcError>
where
    Answer: Future<Output = Result<Vec<T>, ShimError>>,
{
    let asked = targets.len();
    let answers = pods::wait_for(async { Ok::<_, ProcError>(join_all(targets.into_iter().map(ask)).await) })?;
    let (mut given, mut failed) = (Vec::new(), 0);
    for answer in answers {
        match answer {
            Ok(answer) => given.extend(answer),
            // A pod that has ended meanwhile is none to be asked.
            Err(error) if error.is_end() => {}
            Err(error) if asked == 1 => return Err(error.into()),
            Err(error) => {
                failed += 1;
                eprintln!("ballast: {}", ballast_runtime::report(&error));
            }
        }
    }
    Ok((given, if failed == 0 { Ok(()) } else { Err(ProcError::Incomplete { failed, asked }) }))
}

fn show(target: Target<'_>, json: bool) -> Result<(), ProcError> {
    let mut shown = pods::wait_for(async { Ok::<_, ProcError>(reports(target.pod()).await?) })?;
    shown.retain(|report| target.container().is_none_or(|container| report.id == container.id));
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

async fn place_in(target: Target<'_>, placement: Placement) -> Result<Vec<Change>, ShimError> {
    let pod = target.pod();
    let container = target.container().map(|container| container.id.as_str());
    let changes = Shim::connect(pod).await?.set_proc_view(container, placement).await?;
    Ok(changes.into_iter().map(|change| Change::of(pod, change)).collect())
}
