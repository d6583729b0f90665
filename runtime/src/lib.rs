//! From an OCI bundle to a running process, and back to nothing.
//!
//! A spec becomes a [plan](plan), the [spawner](spawn) clones a process that [executes it](child), and a [`Container`]
//! is what the shim holds of the result. All calls block; the shim makes them off its event loop. This crate knows no
//! containerd, no ttrpc and no async runtime.

mod bundle;
mod child;
mod container;
mod error;
pub mod features;
mod hooks;
mod kernel;
mod plan;
pub mod proc_view;
mod process;
mod record;
mod rootfs;
mod runtime;
pub mod seccomp;
mod spawn;
pub mod sys;
pub mod sysinfo;

pub use bundle::{BundleError, Config, MAXIMUM_CONFIG_BYTES, SeccompText, read_config};
pub use container::{
    Container, ContainerPriority, CreateOptions, CreateRequest, OperatorWord, PriorityNotice, RootfsMount,
    Shortfall, obstacle_to,
};
pub use error::{CallError, Error, ErrorKind, StepError, report};
pub use features::features;
pub use hooks::HookError;
pub use kernel::{KernelFeature, Presence, kernel_features};
pub use plan::{Asked, LevelSource, PlanError, PriorityPolicy, UnknownVocabulary, ViewWish, Vocabulary};
pub use proc_view::figures::Rounding;
pub use proc_view::{
    Containers, CpuView, Mechanism, Placement, Selection, ShownFile, ViewDescription, ViewFile, ViewPolicy,
};
pub use process::{Process, ProcessIo};
pub use record::{Record, STATE_DIRECTORY, ShimRecord};
pub use runtime::Runtime;
pub use spawn::{ChannelError, Spawner};
