//! Priorities under load, with nothing but what a mainline kernel has: who gets the CPU, who waits for it, who is killed, whose memory is
//! taken, whose packets go first, whose page cache is bounded. Runs on the test node as root, with Ballast alone.
//!
//! The bounds are what a busy machine still keeps; what a quiet one shows is in `docs/priorities.md`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod cpu;
mod fixture;
mod kill;
mod latency;
mod packets;
mod page_cache;
mod reclaim;
