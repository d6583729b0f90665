//! `ballast`, the operator's command: what Ballast does for the containers of this node, for a person or, with `--json`, for a
//! program. It reads the kernel's files and asks no shim, so it also works when one does not.

#![forbid(unsafe_code)]

mod amount;
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
    /// Memory QoS: what is protected and throttled, who decided so, and what the kernel did.
    Qos(qos::Arguments),
}

fn main() -> ExitCode {
    let Subject::Qos(arguments) = Arguments::parse().subject;
    match qos::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ballast: {}", ballast_runtime::report(&error));
            ExitCode::FAILURE
        }
    }
}
