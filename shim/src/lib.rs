//! containerd's shim contract: launch, Task service, standard streams, events, exits and the log.
//!
//! Knows processes and cgroups only through `ballast_runtime` and `ballast_cgroups`.

#![forbid(unsafe_code)]

pub mod config;
pub mod control;
pub mod events;
pub mod io;
pub mod launch;
pub mod log;
pub mod readiness;
pub mod reaper;
pub mod server;
mod socket;
pub mod task;
pub mod version;
