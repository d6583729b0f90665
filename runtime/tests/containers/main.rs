//! Real containers on this kernel, made by the runtime alone: no containerd, no image, no network.
//!
//! Needs root, a cgroup2 mount (controllers are not needed) and `/usr` of the host, which serves as the image. All tests
//! share one runtime, whose spawner is forked first thing in `main`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod bundle;
mod core_scheduling;
mod failures;
mod hostile;
mod mounts;
mod pressure;
mod proc_view;
mod process;
mod sysinfo;
mod view_change;

use ballast_runtime::Runtime;
use libtest_mimic::{Arguments, Completion, Trial};
use std::process::ExitCode;
use std::sync::Arc;

type Test = fn(&Arc<Runtime>);

/// With what this machine lacks for it: then it is listed as ignored, and why.
type ConditionalTest = (&'static str, Test, fn() -> Option<String>);

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
    let tests = tests.into_iter().map(|(name, test)| -> ConditionalTest { (name, test, || None) });
    let conditional = [core_scheduling::TESTS, hostile::TESTS_WITH_SETTINGS, pressure::TESTS].concat();
    let trials = tests
        .chain(conditional)
        .map(|(name, test, obstacle)| {
            let runtime = Arc::clone(&runtime);
            Trial::ignorable_test(name, move || {
                if let Some(obstacle) = obstacle() {
                    return Ok(Completion::ignored_with(obstacle));
                }
                test(&runtime);
                Ok(Completion::Completed)
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
