//! What the tests on the node stand on: pods and containers driven with crictl as a person would, and what the node's
//! kernel says about them. Runs on the node itself, as root. Expects nothing of a runtime.
//!
//! Every function panics when the node does not do what a test takes for granted: a test has nobody to hand an error to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

pub mod command;
pub mod container;
pub mod ctr;
pub mod footprint;
pub mod json;
pub mod kubepods;
pub mod node;
pub mod pod;
pub mod process;
pub mod scratch;
pub mod systemd;
pub mod terminal;
