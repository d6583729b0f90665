//! The order in which exits become known: a process's exit after its start, and init's after everyone else's.
//!
//! Must not know how a process is started or deleted.

use std::sync::Arc;

use containerd_shim_protos::events::task::TaskExit;

use super::{
    container::Container,
    exec::Exec,
    oom::OomWatch,
    state::{ContainerState, ExecState, Refusal},
    timestamp,
};
use crate::{
    events::Publisher,
    reaper::{Exit, ExitReceiver},
};

/// Counts a starting or running exec'ed process; init's exit waits until none is left.
#[derive(Debug)]
pub(super) struct LiveExec(Arc<Container>);

impl LiveExec {
    /// Refused once init is reaped.
    pub(super) fn enter(container: &Arc<Container>) -> Result<Self, Refusal> {
        container.state.change(ContainerState::exec_starts)?;
        Ok(Self(Arc::clone(container)))
    }
}

impl Drop for LiveExec {
    fn drop(&mut self) {
        self.0.state.change(ContainerState::exec_ended);
    }
}

/// Announces the exit of a container's first process, whenever it comes. To be called when its creation is announced.
pub(super) fn announce_init_exit(container: Arc<Container>, mut exit: ExitReceiver, oom: Option<OomWatch>) {
    tokio::spawn(async move {
        let exit = exit.wait().await;
        // From here on nothing can be started in the container.
        let frozen = container.state.wait_for(|state| state.exiting(exit)).await;
        container.end_remaining_processes(frozen).await;
        container.state.wait_for(|state| state.is_alone().then_some(())).await;
        if let Some(oom) = oom {
            oom.finish();
        }
        container.state.change(ContainerState::stopped);
        publish(
            &container.context.publisher,
            &container.id,
            &container.id,
            container.init.process.pid(),
            exit,
        );
    });
}

/// Announces the exit of an exec'ed process, whenever it comes. To be called when its start is announced.
pub(super) fn announce_exec_exit(exec: Arc<Exec>, mut exit: ExitReceiver, pid: u32, live: LiveExec) {
    tokio::spawn(async move {
        let exit = exit.wait().await;
        exec.state.change(|state| *state = ExecState::Stopped(exit));
        let container = &live.0;
        publish(&container.context.publisher, &container.id, &exec.id, pid, exit);
        drop(live);
    });
}

fn publish(publisher: &Publisher, container_id: &str, id: &str, pid: u32, exit: Exit) {
    publisher.publish(TaskExit {
        container_id: container_id.to_owned(),
        id: id.to_owned(),
        pid,
        exit_status: exit.status,
        exited_at: timestamp(exit.at),
        ..TaskExit::default()
    });
}
