//! `ballast`, the operator's command: what Ballast does for the containers of this node, for a person or, with `--json`, for a
//! program.
//!
//! What the kernel's files tell is read there and no shim is asked, so that it also works when one does not. What only a shim
//! knows or can do, it is asked for over its socket, and given a few seconds.

#![forbid(unsafe_code)]

mod amount;
mod check;
mod log_level;
mod names;
mod output;
mod pods;
mod priority;
mod proc;
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
    /// Views of /proc: which containers have one, of which files, how often it is read.
    Proc(proc::Arguments),
    /// Priorities: what a running pod has, and an operator's word about it.
    Priority(priority::Arguments),
    /// How much the shim of a running pod logs.
    LogLevel(log_level::Arguments),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Qos(#[from] qos::QosError),
    #[error(transparent)]
    Proc(#[from] proc::ProcError),
    #[error(transparent)]
    Priority(#[from] priority::PriorityError),
    #[error(transparent)]
    LogLevel(#[from] log_level::LogLevelError),
}

fn main() -> ExitCode {
    let done: Result<(), CommandError> = match Arguments::parse().subject {
        Subject::Check(arguments) => check::run(&arguments).map_err(CommandError::from),
        Subject::Qos(arguments) => qos::run(&arguments).map_err(CommandError::from),
        Subject::Proc(arguments) => proc::run(&arguments).map_err(CommandError::from),
        Subject::Priority(arguments) => priority::run(&arguments).map_err(CommandError::from),
        Subject::LogLevel(arguments) => log_level::run(&arguments).map_err(CommandError::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ballast: {}", ballast_runtime::report(&error));
            ExitCode::FAILURE
        }
    }
}
