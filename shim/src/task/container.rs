//! One container: its first process and what can be asked of the whole. Must not know messages.
//!
//! Its state is in a cell that is read at any time. What takes time (start, freezing, limits, removal) is done one at a
//! time under `operation`; signals and questions never wait for that, and no lock is shared with another container.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ballast_runtime::{self as runtime, OperatorWord, Placement};
use containerd_shim_protos::events::task::{TaskDelete, TaskPaused, TaskResumed, TaskStart};
use oci_spec::runtime::LinuxResources;
use rustix::process::Signal;

use super::{
    cell::Cell,
    errors::TaskError,
    exec::Exec,
    process::{StreamsOfProcess, Watched},
    state::{ContainerState, Deletion, Refusal},
    timestamp,
};
use crate::{reaper::Exit, server::Context};

/// A container from the end of its Create to the end of its Delete.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: String,
    pub(super) context: Context,
    pub(super) runtime: Arc<runtime::Container>,
    pub(super) init: Watched,
    pub(super) streams: Arc<StreamsOfProcess>,
    pub(super) state: Cell<ContainerState>,
    pub(super) operation: tokio::sync::Mutex<()>,
    pub(super) execs: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Container {
    pub(super) fn pid(&self) -> u32 {
        self.init.process.pid()
    }

    /// Lets init go on to its execve.
    pub(super) async fn start(&self) -> Result<(), TaskError> {
        let _operation = self.operation.lock().await;
        self.state.change(ContainerState::start).map_err(|refusal| self.refused(refusal))?;
        let (process, container) = (Arc::clone(&self.init.process), Arc::clone(&self.runtime));
        let hooks = self.context.reaper.spawning();
        let started = self
            .blocking("start container", move || {
                process.start()?;
                // OCI runtime specification, "Lifecycle": a poststart hook that fails ends the container.
                container.after_start().inspect_err(|_| {
                    if let Err(error) = process.signal(Signal::KILL.as_raw()) {
                        tracing::debug!(
                            error = runtime::report(&error),
                            "kill after a failed poststart hook"
                        );
                    }
                })
            })
            .await;
        drop(hooks);
        if let Err(error) = started {
            self.state.change(ContainerState::start_failed);
            return Err(error);
        }
        // Queued before the state changes: an exit is held back until then.
        self.context.publisher.publish(TaskStart {
            container_id: self.id.clone(),
            pid: self.pid(),
            ..TaskStart::default()
        });
        self.state.change(ContainerState::started);
        Ok(())
    }

    pub(super) async fn pause(&self) -> Result<(), TaskError> {
        let _operation = self.operation.lock().await;
        self.state.change(ContainerState::pause).map_err(|refusal| self.refused(refusal))?;
        let container = Arc::clone(&self.runtime);
        if let Err(error) = self.blocking("pause container", move || container.pause()).await {
            self.state.change(ContainerState::pause_failed);
            return Err(error);
        }
        if !self.state.change(ContainerState::paused) {
            // Init ended meanwhile; its last processes must be able to end, too.
            self.thaw().await?;
            return Err(self.refused(Refusal::Finished));
        }
        self.context.publisher.publish(TaskPaused { container_id: self.id.clone(), ..TaskPaused::default() });
        Ok(())
    }

    pub(super) async fn resume(&self) -> Result<(), TaskError> {
        let _operation = self.operation.lock().await;
        self.state.read(ContainerState::may_resume).map_err(|refusal| self.refused(refusal))?;
        self.thaw().await?;
        self.state.change(ContainerState::resumed);
        self.context
            .publisher
            .publish(TaskResumed { container_id: self.id.clone(), ..TaskResumed::default() });
        Ok(())
    }

    pub(super) async fn update(
        &self,
        resources: Option<LinuxResources>,
        annotations: HashMap<String, String>,
    ) -> Result<(), TaskError> {
        let _operation = self.operation.lock().await;
        self.state.read(ContainerState::may_update).map_err(|refusal| self.refused(refusal))?;
        let container = Arc::clone(&self.runtime);
        let update = move || {
            // First, because they can be refused before anything has changed.
            container.update_annotations(&annotations)?;
            resources.map_or(Ok(()), |resources| container.update(&resources))
        };
        let updated = self.blocking("update container", update).await;
        self.tell_notices();
        updated
    }

    /// Puts an operator's word about its priority before everybody's, or takes it back.
    pub(super) async fn set_priority(&self, word: Option<OperatorWord>) -> Result<(), TaskError> {
        let _operation = self.operation.lock().await;
        self.state.read(ContainerState::may_update).map_err(|refusal| self.refused(refusal))?;
        let container = Arc::clone(&self.runtime);
        let set = move || {
            container.set_operator_word(word);
            Ok(())
        };
        let set = self.blocking("set priority", set).await;
        self.tell_notices();
        set
    }

    /// Follows what an operator said about all of the pod while this one was being made.
    pub(super) async fn follow_operator(&self) {
        let word = self.context.runtime.operator_level().map(OperatorWord::Pod);
        if word == self.runtime.operator_word() {
            return;
        }
        // The container is there whether it follows or not.
        if let Err(error) = self.set_priority(word).await {
            tracing::warn!(id = self.id, error = runtime::report(&error), "follow an operator's priority");
        }
    }

    /// Puts its view of `/proc` in place, or the host's files; returns the paths that changed.
    pub(super) async fn place_view(&self, placement: Placement) -> Result<Vec<String>, TaskError> {
        let _operation = self.operation.lock().await;
        self.state.read(ContainerState::may_change_view).map_err(|refusal| self.refused(refusal))?;
        let container = Arc::clone(&self.runtime);
        let process = self.context.reaper.spawning();
        let placed = self.blocking("change the view of /proc", move || match placement {
            Placement::InPlace => container.restore_view(),
            Placement::Withdrawn => container.withdraw_view(),
        });
        let placed = placed.await;
        drop(process);
        let paths = placed?;
        tracing::info!(id = self.id, ?placement, files = paths.len(), "view of /proc changed");
        Ok(paths)
    }

    /// Logs what a person should hear about its memory QoS and its priority.
    pub(super) fn tell_notices(&self) {
        for notice in self.runtime.take_notices() {
            tracing::warn!(id = self.id, %notice, "memory QoS");
        }
        for notice in self.runtime.take_priority_notices() {
            tracing::warn!(id = self.id, %notice, "priority");
        }
        if let Some(error) = self.runtime.take_view_failure() {
            let error = runtime::report(&error);
            tracing::warn!(id = self.id, error, "the container sees the host's /proc");
        }
        if self.context.runtime.take_isolation_by_kernel() {
            tracing::info!(
                "kernel.stats_isolated is 1: the kernel isolates /proc, and only who asks gets a view"
            );
        }
        for runtime::Shortfall { consequence, error } in self.runtime.take_shortfalls() {
            tracing::warn!(id = self.id, error = runtime::report(&error), "{consequence}");
        }
    }

    /// Signals init. The end of init ends the container, so where the kernel does not see to that, SIGKILL goes to all.
    pub(super) async fn signal(&self, signal: i32) -> Result<(), TaskError> {
        if signal == Signal::KILL.as_raw() && !self.runtime.has_private_pid_namespace() {
            return self.signal_all(signal).await;
        }
        self.state.read(ContainerState::may_signal).map_err(|refusal| self.refused(refusal))?;
        self.init
            .process
            .signal(signal)
            .map_err(|source| TaskError::Runtime { operation: "signal init process", source })
    }

    /// Signals every process of the container.
    pub(super) async fn signal_all(&self, signal: i32) -> Result<(), TaskError> {
        self.state.read(ContainerState::may_signal).map_err(|refusal| self.refused(refusal))?;
        let container = Arc::clone(&self.runtime);
        self.blocking("signal all processes", move || container.signal_all(signal)).await
    }

    /// Waits for the announcement of init's exit.
    pub(super) async fn wait(&self) -> Exit {
        self.state.wait_for(|state| state.exit()).await
    }

    /// Whether init has ended and nobody has asked for its end by a Delete yet.
    pub(super) fn waits_for_delete(&self) -> bool {
        self.state.read(|state| matches!(state.may_delete(), Ok(Deletion::Now(_))))
    }

    /// Every process, by its pid.
    pub(super) async fn process_ids(&self) -> Result<Vec<u32>, TaskError> {
        let container = Arc::clone(&self.runtime);
        self.blocking("list processes", move || container.process_ids()).await
    }

    pub(super) async fn statistics(&self) -> Result<ballast_cgroups::Statistics, TaskError> {
        let container = Arc::clone(&self.runtime);
        self.blocking("read statistics", move || container.statistics()).await
    }

    /// Whether the kernel's log tells of a kill for want of memory; an unreadable log tells of none.
    pub(super) async fn log_tells_of_oom(&self) -> bool {
        let container = Arc::clone(&self.runtime);
        let told = self.blocking("read the kernel's log", move || container.log_tells_of_a_memory_kill());
        told.await.unwrap_or_else(|error| {
            tracing::warn!(id = self.id, error = runtime::report(&error), "memory kills cannot be told");
            false
        })
    }

    /// Removes everything of a container that has ended or was never started. After a failure it can be repeated.
    pub(super) async fn delete(&self) -> Result<Exit, TaskError> {
        let _operation = self.operation.lock().await;
        let exit =
            match self.state.read(ContainerState::may_delete).map_err(|refusal| self.refused(refusal))? {
                Deletion::Now(exit) => exit,
                Deletion::AfterKill => {
                    let killed = self.init.process.signal(Signal::KILL.as_raw());
                    match killed {
                        Err(error) if error.kind() != runtime::ErrorKind::NotFound => {
                            return Err(TaskError::Runtime { operation: "kill init process", source: error });
                        }
                        _ => self.wait().await,
                    }
                }
            };
        self.streams.release().await;
        let container = Arc::clone(&self.runtime);
        let hooks = self.context.reaper.spawning();
        let deleted = self.blocking("delete container", move || container.delete()).await;
        self.tell_notices();
        deleted?;
        drop(hooks);
        let execs = std::mem::take(&mut *self.execs());
        for exec in execs.into_values() {
            exec.forget().await;
        }
        self.state.change(ContainerState::deleted);
        self.context.publisher.publish(TaskDelete {
            container_id: self.id.clone(),
            pid: self.pid(),
            exit_status: exit.status,
            exited_at: timestamp(exit.at),
            ..TaskDelete::default()
        });
        Ok(exit)
    }

    /// After init's end: lets frozen processes run, and where others can outlive init, ends them.
    pub(super) async fn end_remaining_processes(&self, frozen: bool) {
        if frozen && let Err(error) = self.thaw().await {
            tracing::warn!(id = self.id, error = runtime::report(&error), "resume an ended container");
        }
        if self.runtime.has_private_pid_namespace() {
            return;
        }
        let container = Arc::clone(&self.runtime);
        let killed =
            self.blocking("kill remaining processes", move || container.signal_all(Signal::KILL.as_raw()));
        if let Err(error) = killed.await {
            tracing::warn!(
                id = self.id,
                error = runtime::report(&error),
                "end an ended container's processes"
            );
        }
    }

    async fn thaw(&self) -> Result<(), TaskError> {
        let container = Arc::clone(&self.runtime);
        self.blocking("resume container", move || container.resume()).await
    }

    pub(super) fn exec(&self, exec_id: &str) -> Result<Arc<Exec>, TaskError> {
        let no_such = || TaskError::NoSuchProcess { id: self.id.clone(), exec_id: exec_id.to_owned() };
        self.execs().get(exec_id).map(Arc::clone).ok_or_else(no_such)
    }

    pub(super) fn execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refused(&self, source: Refusal) -> TaskError {
        TaskError::Refused { id: self.id.clone(), exec_id: None, source }
    }

    /// Calls the runtime on a thread of its own.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, runtime::Error> + Send + 'static,
    ) -> Result<T, TaskError> {
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result.map_err(|source| TaskError::Runtime { operation, source }),
            Err(source) => Err(TaskError::Lost { operation, source }),
        }
    }
}
