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
        let kept = keep_counts(&container, oom.as_ref());
        // From here on nothing can be started in the container.
        let frozen = container.state.wait_for(|state| state.exiting(exit)).await;
        container.end_remaining_processes(frozen).await;
        container.state.wait_for(|state| state.is_alone().then_some(())).await;
        if let Some(oom) = oom {
            if kept == Counts::Lost
                && exit.status != 0
                && oom.has_seen_none()
                && container.log_tells_of_oom().await
            {
                oom.publish();
            }
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

/// What is known of what an ended container used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Kept,
    Lost,
}

/// systemd learns of the end of a container's last process when the shim does, and removes the cgroup with all that it
/// counted. Not on a thread of its own, which would take as long to start as all of this takes.
fn keep_counts(container: &Container, oom: Option<&OomWatch>) -> Counts {
    if !container.runtime.is_cgroup_fleeting() {
        return Counts::Kept;
    }
    if let Some(oom) = oom {
        oom.look();
    }
    match container.runtime.keep_statistics() {
        Ok(()) => Counts::Kept,
        Err(error) => {
            tracing::debug!(
                id = container.id,
                error = ballast_runtime::report(&error),
                "what an ended container used is lost"
            );
            Counts::Lost
        }
    }
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
