//! What a person does who looks into a pod with crictl: shells, files in and out, logs, ports, numbers, reasons.
//!
//! Runs on the test node as root. `BALLAST_TEST_HANDLER=runc` says what the yardstick does with the same tests; where
//! Ballast is better on purpose, the test says so and asks it of Ballast alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod attach;
mod exec_files;
mod exec_refusals;
mod exec_sync;
mod exec_terminal;
mod inspect;
mod lifecycle;
mod logs;
mod port_forward;
mod restarts;
mod stats;
mod update;

use serde_json::{Value, json};

/// A container that runs this script.
fn sh(script: &str) -> Value {
    json!({"command": ["sh", "-c", script]})
}

/// Whether the handler under test is runc's.
fn is_runc(node: &ballast_integration::testbed::node::Node) -> bool {
    node.handler() == "runc"
}
