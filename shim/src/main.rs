//! `containerd-shim-ballast-v2`, the program that containerd executes.

#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use ballast_shim::{
    control::PodService,
    launch,
    server::{Context, Services},
    task::TaskService,
};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    match launch::run(arguments, services) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-ballast-v2: {}", ballast_runtime::report(&error));
            ExitCode::FAILURE
        }
    }
}

fn services(context: Context) -> Services {
    let task = Arc::new(TaskService::new(context.clone()));
    Services { pod: Arc::new(PodService::new(context, Arc::clone(&task))), task }
}
