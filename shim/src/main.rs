//! `containerd-shim-ballast-v2`, the program that containerd executes.

#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use ballast_shim::{launch, task::TaskService};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    match launch::run(arguments, |context| Arc::new(TaskService::new(context))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-ballast-v2: {}", ballast_runtime::report(&error));
            ExitCode::FAILURE
        }
    }
}
