//! A process that is added to a container. Must not know messages.

use std::sync::Arc;

use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted};
use oci_spec::runtime::Process as ProcessSpec;

use super::{
    cell::Cell,
    container::Container,
    errors::TaskError,
    exit::{self, LiveExec},
    process::{StreamsOfProcess, Watched, destroy, watch},
    state::{ContainerState, ExecState, Refusal, StateName},
};
use crate::{
    io::{LoggerIdentity, Stdio, TerminalSize},
    reaper::Exit,
};

/// An exec'ed process from its Exec to its Delete.
#[derive(Debug)]
pub(super) struct Exec {
    pub(super) id: String,
    container_id: String,
    spec: Arc<ProcessSpec>,
    pub(super) streams: StreamsOfProcess,
    pub(super) state: Cell<ExecState>,
    /// Set once, when it runs.
    process: std::sync::OnceLock<Watched>,
}

impl Exec {
    /// Notes down a process to be started later.
    pub(super) fn add(
        container: &Container,
        exec_id: &str,
        spec: ProcessSpec,
        stdio: Stdio,
    ) -> Result<(), TaskError> {
        container.state.read(ContainerState::may_exec).map_err(|refusal| container.refused(refusal))?;
        {
            let mut execs = container.execs();
            if execs.contains_key(exec_id) {
                return Err(TaskError::ProcessExists {
                    id: container.id.clone(),
                    exec_id: exec_id.to_owned(),
                });
            }
            let exec = Self {
                id: exec_id.to_owned(),
                container_id: container.id.clone(),
                spec: Arc::new(spec),
                streams: StreamsOfProcess::new(stdio),
                state: Cell::new(ExecState::Created),
                process: std::sync::OnceLock::new(),
            };
            execs.insert(exec_id.to_owned(), Arc::new(exec));
        }
        container.context.publisher.publish(TaskExecAdded {
            container_id: container.id.clone(),
            exec_id: exec_id.to_owned(),
            ..TaskExecAdded::default()
        });
        Ok(())
    }

    /// Its pid; 0 before it runs.
    pub(super) fn pid(&self) -> u32 {
        self.process.get().map_or(0, |watched| watched.process.pid())
    }

    /// What clients are told: a frozen container's processes are frozen.
    pub(super) fn state_name(&self, container: &Container) -> StateName {
        let own = self.state.read(ExecState::name);
        match container.state.read(ContainerState::name) {
            frozen @ (StateName::Paused | StateName::Pausing) if own != StateName::Stopped => frozen,
            _ => own,
        }
    }

    /// Spawns it and lets it go on to its execve.
    pub(super) async fn start(self: &Arc<Self>, container: &Arc<Container>) -> Result<u32, TaskError> {
        self.state.change(ExecState::start).map_err(|refusal| self.refused(refusal))?;
        match self.spawn_and_start(container).await {
            Ok(pid) => Ok(pid),
            Err(error) => {
                self.state.change(|state| *state = ExecState::FailedToStart);
                self.streams.release().await;
                Err(error)
            }
        }
    }

    async fn spawn_and_start(self: &Arc<Self>, container: &Arc<Container>) -> Result<u32, TaskError> {
        let live = LiveExec::enter(container).map_err(|refusal| self.refused(refusal))?;
        let watched = self.spawn(container).await?;
        let process = Arc::clone(&watched.process);
        container.blocking("start process", move || process.start()).await?;
        let pid = watched.process.pid();
        let exit = watched.exit.clone();
        // Cannot be set already: the state lets one start through.
        self.process.get_or_init(|| watched);
        container.context.publisher.publish(TaskExecStarted {
            container_id: container.id.clone(),
            exec_id: self.id.clone(),
            pid,
            ..TaskExecStarted::default()
        });
        self.state.change(|state| *state = ExecState::Running);
        exit::announce_exec_exit(Arc::clone(self), exit, pid, live);
        Ok(pid)
    }

    async fn spawn(self: &Arc<Self>, container: &Container) -> Result<Watched, TaskError> {
        const OPERATION: &str = "exec in container";
        let reaper = &container.context.reaper;
        // Until the new process is registered.
        let _spawning = reaper.spawning();
        let identity = LoggerIdentity { id: self.id.clone(), namespace: container.context.namespace.clone() };
        let (this, in_container, its_reaper) =
            (Arc::clone(self), Arc::clone(&container.runtime), reaper.clone());
        let spawn = move || {
            let (io, opened) = this.streams.open(&identity, &its_reaper)?;
            let process = in_container
                .exec(&this.spec, io)
                .map_err(|source| TaskError::Runtime { operation: OPERATION, source })?;
            Ok::<_, TaskError>((process, opened))
        };
        let (mut process, opened) = tokio::task::spawn_blocking(spawn)
            .await
            .map_err(|source| TaskError::Lost { operation: OPERATION, source })??;
        match watch(&mut process, opened, reaper) {
            Ok((exit, streams)) => {
                self.streams.opened(streams);
                Ok(Watched { process: Arc::new(process), exit })
            }
            Err(error) => {
                let destroyed = tokio::task::spawn_blocking(move || destroy(&process)).await;
                if let Err(error) = destroyed {
                    tracing::error!(%error, "end a process that cannot be watched");
                }
                Err(error)
            }
        }
    }

    pub(super) async fn signal(&self, signal: i32) -> Result<(), TaskError> {
        self.state.wait_for(|state| state.may_signal()).await.map_err(|refusal| self.refused(refusal))?;
        let Some(watched) = self.process.get() else { return Err(self.refused(Refusal::NotStarted)) };
        watched
            .process
            .signal(signal)
            .map_err(|source| TaskError::Runtime { operation: "signal process", source })
    }

    pub(super) fn resize(&self, size: TerminalSize) -> Result<(), TaskError> {
        self.state.read(ExecState::may_resize).map_err(|refusal| self.refused(refusal))?;
        Ok(self.streams.resize(size)?)
    }

    /// Waits until it is known how it ended, or that it will never run.
    pub(super) async fn wait(&self) -> Option<Exit> {
        self.state.wait_for(|state| state.outcome()).await
    }

    /// Takes it away. `None`: it never ran.
    pub(super) async fn delete(&self, container: &Container) -> Result<Option<Exit>, TaskError> {
        let exit = self.state.change(ExecState::delete).map_err(|refusal| self.refused(refusal))?;
        self.streams.release().await;
        container.execs().remove(&self.id);
        Ok(exit)
    }

    /// Releases what it holds when its container is gone.
    pub(super) async fn forget(&self) {
        if let Err(refusal) = self.state.change(ExecState::delete) {
            tracing::debug!(id = self.container_id, exec_id = self.id, %refusal, "process of a deleted container");
        }
        self.streams.release().await;
    }

    fn refused(&self, source: Refusal) -> TaskError {
        TaskError::Refused { id: self.container_id.clone(), exec_id: Some(self.id.clone()), source }
    }
}
