//! New processes: the spawner, a small single-threaded process that clones them, and the handle that the shim talks to it by.
//!
//! The shim has threads (blocking work runs on them), and a threaded process must not fork: locks that other threads hold
//! stay locked in the child for ever. The spawner is forked once, before there are threads, and never gets any.

mod channel;
mod handle;
mod protocol;
mod server;

pub(crate) use channel::Channel;
pub use channel::ChannelError;
pub use handle::Spawner;
pub(crate) use handle::{Descriptors, Placeholder, Spawned};
pub(crate) use protocol::{ChildMessage, RuntimeMessage};
