//! The black box around Ballast: a test node with a real containerd, and what is run on it.
//!
//! `cargo xtask` is the door for people and CI; [`node::Node`] is the door for code. Knows Ballast only by its
//! binaries.
#![forbid(unsafe_code)]

pub mod bench;
pub mod critest;
pub mod demo;
pub mod emulator;
pub mod gate;
mod hierarchy;
pub mod images;
pub mod node;
pub mod progress;
pub mod setup;
pub mod test;
pub mod testbed;
pub mod tools;
