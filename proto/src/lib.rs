//! Wire types that no published crate carries: containerd's generic runtime options, and Ballast's own options and services.
//!
//! Messages, and for each service the trait that its server implements and a client; all generated from `protos/`. Must not
//! know what any field makes the shim do.

#![forbid(unsafe_code)]

/// The generated code, one module per file of `protos/`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    rustdoc::all,
    reason = "generated code follows the generator's rules"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

/// Ballast's own runtime options (`ballast.options.v1`).
pub use generated::ballast_options;
/// Messages of the service of a running pod (`ballast.pod.v1`).
pub use generated::ballast_pod;
/// That service (`ballast.pod.v1.Pod`): the trait that a shim implements, how it is registered, and its client.
pub use generated::ballast_pod_ttrpc::{Pod, PodClient, create_pod};
/// containerd's generic runtime options (`runtimeoptions.v1`).
pub use generated::runtimeoptions;
