//! The view that containers have of their machine below `/proc`, as ordinary programs report it: beside the cgroup's files,
//! over an update, and when the shim is gone. Runs on the test node as root, with Ballast alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod choice;
mod crowd;
mod endings;
mod identity;
mod life;
mod load;
mod programs;
mod readers;
mod sysinfo;
mod texts;
mod truth;

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use serde_json::{Value, json};

/// An image with the programs that people use: procps, util-linux.
const DEBIAN: &str = "ballast.dev/test/debian:latest";

/// One with all of those and four language runtimes.
const PROGRAMS: &str = "ballast.dev/test/programs:latest";

/// busybox, and a program that is linked with musl.
const MUSL: &str = "ballast.dev/test/musl:latest";

const MI: u64 = 1 << 20;

/// The node, with the image.
fn node() -> Node {
    let mut node = Node::take();
    node.pull(DEBIAN);
    node
}

/// A pod whose containers ask for a view.
fn asking() -> Value {
    json!({"annotations": {"ballast.dev/proc-view": "on"}})
}

/// Runs until it is ended, within 64 MiB and half a CPU.
fn limited() -> Value {
    limited_to(64 * MI)
}

/// Runs until it is ended, within so much memory and half a CPU.
fn limited_to(memory_bytes: u64) -> Value {
    let resources =
        json!({"memory_limit_in_bytes": memory_bytes, "cpu_period": 100_000, "cpu_quota": 50_000});
    json!({
        "image": {"image": DEBIAN},
        "command": ["sleep", "1000"],
        "linux": {"resources": resources},
    })
}

/// The memory that the container's `meminfo` says there is.
#[track_caller]
fn total_kib(container: &Container) -> u64 {
    column(&container.exec(&["cat", "/proc/meminfo"]), "MemTotal:", 1)
}

/// The number in a column of the line that begins so.
#[track_caller]
fn column(text: &str, line: &str, column: usize) -> u64 {
    let found = text.lines().find(|candidate| candidate.trim_start().starts_with(line));
    let found = found.unwrap_or_else(|| panic!("no line {line} in {text}"));
    let word =
        found.split_whitespace().nth(column).unwrap_or_else(|| panic!("no column {column} in {found}"));
    word.trim_matches(|character: char| !character.is_ascii_digit())
        .parse()
        .unwrap_or_else(|_| panic!("{word} in {found}"))
}
