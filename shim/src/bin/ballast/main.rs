//! `ballast`, the operator's command: what Ballast does for the containers of this node, for a person or, with `--json`, for a
//! program. It reads the kernel's files and asks no shim, so it also works when one does not.

#![forbid(unsafe_code)]

mod amount;
mod check;
mod output;
mod qos;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Look at what Ballast does for the containers of this node, and take it back.
#[derive(Debug, Parser)]
#[command(name = "ballast", version = ballast_shim::version::VERSION)]
struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// What this node has for Ballast: its kernel, its cgroups, its configuration.
    Check(check::Arguments),
    /// Memory QoS: what is protected and throttled, who decided so, and what the kernel did.
    Qos(qos::Arguments),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Qos(#[from] qos::QosError),
}

fn main() -> ExitCode {
    let done: Result<(), CommandError> = match Arguments::parse().subject {
        Subject::Check(arguments) => check::run(&arguments).map_err(CommandError::from),
        Subject::Qos(arguments) => qos::run(&arguments).map_err(CommandError::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ballast: {}", ballast_runtime::report(&error));
            ExitCode::FAILURE
        }
    }
}
