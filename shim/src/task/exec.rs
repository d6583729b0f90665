//! A process that is added to a container. Must not know messages.

use std::sync::Arc;

use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted};
use oci_spec::runtime::Process as ProcessSpec;

use super::{
    cell::Cell,
    container::Container,
    errors::TaskError,
    exit::{self, LiveExec},
    process::{StreamsOfProcess, Watched, connect, destroy, kill, watch},
    state::{ContainerState, ExecState, Refusal, StateName},
};
use crate::{
    io::{LoggerIdentity, Opened, Stdio, TerminalSize},
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
        let (watched, opened) = self.run(container).await?;
        let streams =
            connect(&watched.process, opened, &watched.exit).inspect_err(|_| kill(&watched.process))?;
        self.streams.opened(streams);
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

    /// Opens the streams, spawns, and waits for the `execve`, in one go on a thread that may block.
    async fn run(self: &Arc<Self>, container: &Container) -> Result<(Watched, Opened), TaskError> {
        const OPERATION: &str = "exec in container";
        let identity = LoggerIdentity { id: self.id.clone(), namespace: container.context.namespace.clone() };
        let reaper = container.context.reaper.clone();
        let (this, in_container) = (Arc::clone(self), Arc::clone(&container.runtime));
        let run = move || {
            let failed = |source| TaskError::Runtime { operation: OPERATION, source };
            // Until the new process is watched, not longer: its execve may take as long as its file system likes.
            let spawning = reaper.spawning();
            let (io, opened) = this.streams.open(&identity, &reaper)?;
            let process = in_container.exec(&this.spec, io).map_err(failed)?;
            let exit = watch(&process, &reaper).inspect_err(|_| destroy(&process))?;
            drop(spawning);
            process.start().map_err(failed).inspect_err(|_| kill(&process))?;
            Ok((Watched { process: Arc::new(process), exit }, opened))
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|source| TaskError::Lost { operation: OPERATION, source })?
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
