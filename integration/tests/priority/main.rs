//! Priorities as pods, operators and the kernel meet them: annotations and configuration in the files of cgroups, updates,
//! and what `ballast` shows and changes. Runs on the test node as root, with Ballast alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod annotations;
mod command;
mod configuration;
mod endings;
mod shown;
mod tree;
mod update;

use ballast_integration::testbed::container::Container;
use serde_json::{Value, json};

/// A container of this name.
fn named(name: &str) -> Value {
    json!({"metadata": {"name": name, "attempt": 1}})
}

/// Files of the container's cgroup as `file=value`, for those that the kernel has.
#[track_caller]
fn assert_files(container: &Container, expected: &[(&str, &str)]) {
    for (file, value) in expected {
        assert_eq!(container.cgroup_file(file), *value, "{file}");
    }
}

/// `oom_score_adj` of its first process.
#[track_caller]
fn oom_score(container: &Container) -> i32 {
    container.process().read("oom_score_adj").trim().parse().unwrap()
}
