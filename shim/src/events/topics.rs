//! Which topic each task event is published under. Must not know how events travel.

use containerd_shim_protos::{
    events::task::{
        TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOOM,
        TaskPaused, TaskResumed, TaskStart,
    },
    protobuf::Message,
};

/// A message that containerd accepts as an event, with the topic its subscribers filter on
/// (containerd `core/runtime/events.go`).
pub trait Event: Message {
    /// Topic, for example `/tasks/start`.
    const TOPIC: &'static str;

    /// The container that the event is about, for the log.
    fn container_id(&self) -> &str;
}

macro_rules! task_event {
    ($($message:ident => $topic:literal),* $(,)?) => {$(
        impl Event for $message {
            const TOPIC: &'static str = $topic;

            fn container_id(&self) -> &str {
                &self.container_id
            }
        }
    )*};
}

task_event! {
    TaskCheckpointed => "/tasks/checkpointed",
    TaskCreate => "/tasks/create",
    TaskDelete => "/tasks/delete",
    TaskExecAdded => "/tasks/exec-added",
    TaskExecStarted => "/tasks/exec-started",
    TaskExit => "/tasks/exit",
    TaskOOM => "/tasks/oom",
    TaskPaused => "/tasks/paused",
    TaskResumed => "/tasks/resumed",
    TaskStart => "/tasks/start",
}
