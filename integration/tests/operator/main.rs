//! What an operator does with `ballast` to pods that run: looks at views of `/proc`, takes them away and puts them back, and
//! changes how much a shim logs. Runs on the test node as root, with Ballast alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod shims;
mod views;

use ballast_integration::testbed::command::run;
use ballast_integration::testbed::json::text;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::{Value, json};

/// An image with the programs that people use: procps, util-linux.
const DEBIAN: &str = "ballast.dev/test/debian:latest";

/// What the containers see of the node's memory, and are limited to.
const LIMIT_KIB: u64 = 64 << 10;

/// The node, with the image.
fn node() -> Node {
    let mut node = Node::take();
    node.pull(DEBIAN);
    node
}

/// Runs until it is ended, within its limit.
fn limited() -> Value {
    json!({
        "image": {"image": DEBIAN},
        "command": ["sleep", "1000"],
        "linux": {"resources": {"memory_limit_in_bytes": LIMIT_KIB << 10, "cpu_period": 100_000, "cpu_quota": 50_000}},
    })
}

/// What the command prints; it must succeed.
#[track_caller]
fn ballast(arguments: &[&str]) -> String {
    run("ballast", arguments).expect_success(&format!("ballast {arguments:?}")).trim_end().to_owned()
}

/// What it says when it fails, which it must.
#[track_caller]
fn refusal(arguments: &[&str]) -> String {
    let outcome = run("ballast", arguments);
    assert_eq!(outcome.code, Some(1), "ballast {arguments:?}: {}{}", outcome.stdout, outcome.stderr);
    outcome.stderr.trim_end().to_owned()
}

/// Its name as `crictl pods` shows it.
fn name(pod: &Pod) -> String {
    text(&pod.inspect(), "/status/metadata/name").to_owned()
}
