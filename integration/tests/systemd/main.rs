//! Containers whose cgroups are units of systemd: what systemd knows about them, what the kernel does, and that the two
//! agree, driven with crictl. Runs on a node that systemd boots, as root. `BALLAST_TEST_HANDLER` names the runtime
//! handler; with `runc` the same tests say what the yardstick does.
//!
//! Every test has the node for itself and fails when it leaves anything behind, units included.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod endings;
mod fixture;
mod life;
mod memory_qos;
mod priority;
