//! Real containers on this kernel, made by the runtime alone: no containerd, no image, no network.
//!
//! Needs root, a cgroup2 mount (controllers are not needed) and `/usr` of the host, which serves as the image. All tests
//! share one runtime, whose spawner is forked first thing in `main`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod bundle;
mod failures;
mod hostile;
mod mounts;
mod proc_view;
mod process;
mod sysinfo;
mod view_change;

use ballast_runtime::Runtime;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::Arc;

type Test = fn(&Arc<Runtime>);

fn main() -> ExitCode {
    let runtime = Arc::new(Runtime::start().expect("fork the spawner"));
    let tests: Vec<(&'static str, Test)> = [
        basics::TESTS,
        failures::TESTS,
        hostile::TESTS,
        mounts::TESTS,
        proc_view::TESTS,
        process::TESTS,
        sysinfo::TESTS,
        view_change::TESTS,
    ]
    .concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            let runtime = Arc::clone(&runtime);
            Trial::test(name, move || {
                test(&runtime);
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
