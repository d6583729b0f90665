//! What an operator can ask of a running pod (`ballast.pod.v1.Pod`), for the `ballast` command.
//!
//! A new method takes four places: the call and its messages in `proto/protos/ballast_pod.proto`, a function of the same name
//! in `service`, what it does in the module whose matter it is (`task`, `log`), and a function of the command's `pods::Shim`.
//! Must not know how requests arrive.

mod service;

pub use self::service::PodService;
