//! What the shim, the spawner and the new process say to each other. All three are the same binary.

use crate::error::StepError;
use crate::plan::wire::{Descriptor, Plan};
use serde::{Deserialize, Serialize};

/// The shim to the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Clone a process and let it run the plan, in this cgroup or else the spawner's. Its end of the control channel is the last descriptor. Answered by
    /// `Spawned`.
    Spawn { plan: Plan, cgroup: Option<Descriptor> },
    /// Clone a process that does nothing until the other end of the last descriptor, a channel, is closed. Answered by
    /// `Spawned`.
    Hold,
    /// Make a user namespace with these maps (lines of `/proc/<pid>/uid_map`). Answered by `UserNamespace`.
    MakeUserNamespace { uid_map: String, gid_map: String },
}

/// The spawner to the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The process exists; its pidfd travels along. When a helper had to enter a user namespace first, its pidfd comes
    /// second: it is a child of the shim too, and already on its way out.
    Spawned { pid: u32 },
    /// The namespace's descriptor travels along.
    UserNamespace,
    /// Nothing was made.
    Failed(StepError),
}

/// The new process to the shim, until its `execve`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ChildMessage {
    /// The master of its pty travels along.
    Terminal,
    /// The root file system is mounted and the root has not changed yet: the runtime's hooks may run.
    RootfsMounted,
    /// Everything is done but the `execve`; released by `Continue`.
    Ready,
    /// The filter that asks about `sysinfo` is loaded; its listener travels along. The process goes straight on.
    SysinfoListener,
    /// These files of the container's view were covered, or uncovered; the process exits.
    ViewChanged { paths: Vec<String> },
    /// A seccomp filter with a notifier is loaded, and this is the number of its descriptor in the process. It cannot travel
    /// along: sending it may already be what the notifier has to allow. The process goes on once it was handed over.
    SeccompListener { descriptor: i32 },
    /// This step failed; the process exits.
    Failed(StepError),
}

/// The shim to the new process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RuntimeMessage {
    /// Go on.
    Continue,
}
