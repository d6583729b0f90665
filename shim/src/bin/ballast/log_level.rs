//! `ballast log-level`: how much a running shim logs.

use ballast_shim::log::Level;
use clap::{Args, builder::PossibleValuesParser};

use crate::{
    names::Bundles,
    output::{self, OutputError},
    pods::{self, Pod, PodsError, Shim, ShimError},
};

/// Log level.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Id of a pod, the beginning of it, its name, or namespace/name.
    pod: String,
    /// What to change it to; without, it is printed.
    #[arg(value_parser = PossibleValuesParser::new(Level::ALL.map(Level::name)))]
    level: Option<String>,
    #[command(flatten)]
    bundles: Bundles,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogLevelError {
    #[error(transparent)]
    Pods(#[from] PodsError),
    #[error(transparent)]
    Shim(#[from] ShimError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Carries a command out.
pub(crate) fn run(arguments: &Arguments) -> Result<(), LogLevelError> {
    let pods = pods::all(&arguments.bundles)?;
    let pod = pods::find(&pods, &arguments.pod)?;
    Ok(output::line(&pods::wait_for(answer(pod, arguments.level.as_deref()))?)?)
}

async fn answer(pod: &Pod, level: Option<&str>) -> Result<String, LogLevelError> {
    let shim = Shim::connect(pod).await?;
    match level {
        None => Ok(shim.describe().await?.log_level),
        Some(level) => {
            let previous = shim.set_log_level(level).await?;
            Ok(format!("{level} (was {previous})"))
        }
    }
}
