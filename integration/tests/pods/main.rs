//! Ballast as its users meet it: a real containerd driven with crictl, and what the node's kernel says about the
//! result. Runs on the test node as root. `BALLAST_TEST_HANDLER` names the runtime handler; with `runc` the same tests
//! say what the yardstick does.
//!
//! Every test has the node for itself and fails when it leaves anything behind: see [`ballast_integration::testbed::node::Node`].
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod bad_input;
mod basics;
mod faults;
mod footprint;
mod isolation;
