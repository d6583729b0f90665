//! Wire types that no published crate carries: containerd's generic runtime options and Ballast's own.
//!
//! Types only, generated from `protos/`. Must not know what any field makes the shim do.

#![forbid(unsafe_code)]

/// The generated messages, one module per file of `protos/`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code follows the generator's rules"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

/// Ballast's own runtime options (`ballast.options.v1`).
pub use generated::ballast_options;
/// containerd's generic runtime options (`runtimeoptions.v1`).
pub use generated::runtimeoptions;
