//! Memory QoS as pods and the kernel meet it: what reaches the files of cgroups, what the cgroups above make of it, and what
//! happens under pressure. Runs on the test node as root, with Ballast alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod annotations;
mod command;
mod crowd;
mod levels;
mod policy;
mod pressure;
