//! The RPCs of containerd's Task service: decode, call, encode. Must not know how anything is done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use ballast_cgroups::priority::Level;
use ballast_runtime::{OperatorWord, Placement};
use containerd_shim_protos::{
    api::{
        CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
        CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest,
        PauseRequest, PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest,
        ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest,
        StatsResponse, Status, UpdateTaskRequest, WaitRequest, WaitResponse,
    },
    protobuf::{Message, MessageField, well_known_types::any::Any},
    shim::oci::ProcessDetails,
    shim_async::Task,
};
use futures_util::future::join_all;
use oci_spec::runtime::{LinuxResources, Process as ProcessSpec};
use serde::de::DeserializeOwned;
use ttrpc::{Result, asynchronous::TtrpcContext};

use super::{
    container::Container,
    create,
    description::Description,
    errors::TaskError,
    exec::Exec,
    registry::Registry,
    state::{ExecState, StateName},
    stats, timestamp,
};
use crate::{
    io::{Stdio, TerminalSize},
    reaper::Exit,
    server::Context,
    version,
};

/// As typeurl writes it.
const PROCESS_DETAILS: &str = "containerd.runc.v1.ProcessDetails";
/// Linux has 64 signals; 0 only asks whether the process is there.
const GREATEST_SIGNAL: u32 = 64;

/// The tasks of one pod.
#[derive(Debug)]
pub struct TaskService {
    context: Context,
    containers: Registry<Container>,
}

impl TaskService {
    /// A pod without tasks.
    pub fn new(context: Context) -> Self {
        Self { context, containers: Registry::new() }
    }

    /// Its containers, by id.
    ///
    /// # Errors
    /// When the runtime's threads are gone.
    pub async fn describe(&self) -> std::result::Result<Vec<Description>, TaskError> {
        let mut descriptions = Vec::new();
        for (_, container) in self.containers.all() {
            descriptions.push(container.describe().await?);
        }
        Ok(descriptions)
    }

    /// Puts an operator's word about priority before everybody's, for a container or, with `None`, for all of the pod; or takes
    /// it back, when `level` is `None`. Returns those that it is about. One that has ended meanwhile is passed over.
    ///
    /// # Errors
    /// When the container does not exist or has ended.
    pub async fn set_priority(
        &self,
        id: Option<&str>,
        level: Option<Level>,
    ) -> std::result::Result<Vec<Description>, TaskError> {
        if let Some(id) = id {
            let container = self.container(id)?;
            let of_pod = || self.context.runtime.operator_level().map(OperatorWord::Pod);
            container.set_priority(level.map(OperatorWord::Container).or_else(of_pod)).await?;
            return Ok(vec![container.describe().await?]);
        }
        // For those that are being made: whoever is registered after this looks at it then.
        self.context.runtime.set_operator_level(level);
        let mut descriptions = Vec::new();
        for (_, container) in self.containers.all() {
            match container.set_priority(level.map(OperatorWord::Pod)).await {
                Ok(()) => descriptions.push(container.describe().await?),
                Err(TaskError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(descriptions)
    }

    /// Puts the view of `/proc` in place, or the host's files, in every container that has one and has not ended. Returns the
    /// paths that changed in each, or why not.
    ///
    /// # Errors
    /// When the runtime's threads are gone.
    pub async fn place_views(
        &self,
        placement: Placement,
    ) -> std::result::Result<Vec<(String, std::result::Result<Vec<String>, TaskError>)>, TaskError> {
        let descriptions = self.describe().await?.into_iter();
        let has_ended = |state| matches!(state, StateName::Stopped | StateName::Deleted);
        let chosen =
            descriptions.filter(|description| description.view.is_some() && !has_ended(description.state));
        // At the same time: one whose file systems do not answer keeps the others waiting for nothing.
        let placed = chosen.map(async |Description { id, .. }| {
            let outcome = self.place_view(&id, placement).await;
            (id, outcome)
        });
        Ok(join_all(placed).await)
    }

    /// As [`Self::place_views`], in one container.
    ///
    /// # Errors
    /// When there is no such container, or it has ended, or has no view.
    pub async fn place_view(
        &self,
        id: &str,
        placement: Placement,
    ) -> std::result::Result<Vec<String>, TaskError> {
        self.container(id)?.place_view(placement).await
    }

    fn container(&self, id: &str) -> std::result::Result<Arc<Container>, TaskError> {
        self.containers.get(id)
    }
}

#[async_trait]
impl Task for TaskService {
    async fn create(&self, context: &TtrpcContext, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let began = Instant::now();
        let reservation = self.containers.reserve(&request.id)?;
        let container = create::create(&self.context, request).await?;
        if u64::try_from(context.timeout_nano)
            .is_ok_and(|timeout| timeout > 0 && began.elapsed() >= Duration::from_nanos(timeout))
        {
            // The caller has given up, and will neither use nor delete what it believes was not created.
            container.delete().await?;
            return Err(TaskError::CreatedTooLate(container.id.clone()).into());
        }
        let pid = container.pid();
        reservation.fill(Arc::clone(&container));
        container.follow_operator().await;
        Ok(CreateTaskResponse { pid, ..CreateTaskResponse::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Result<StartResponse> {
        let container = self.container(&request.id)?;
        let pid = if request.exec_id.is_empty() {
            container.start().await?;
            container.pid()
        } else {
            container.exec(&request.exec_id)?.start(&container).await?
        };
        Ok(StartResponse { pid, ..StartResponse::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Result<StateResponse> {
        let container = self.container(&request.id)?;
        let response = StateResponse { bundle: container.bundle.clone(), ..StateResponse::default() };
        if request.exec_id.is_empty() {
            let (name, exit) = container.state.read(|state| (state.name(), state.exit()));
            let response = StateResponse { id: request.id, pid: container.pid(), ..response };
            return Ok(describe(response, &container.streams.stdio, name, exit));
        }
        let exec = container.exec(&request.exec_id)?;
        let exit = exec.state.read(ExecState::outcome).flatten();
        let response = StateResponse {
            id: request.exec_id.clone(),
            exec_id: request.exec_id,
            pid: exec.pid(),
            ..response
        };
        Ok(describe(response, &exec.streams.stdio, exec.state_name(&container), exit))
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Result<DeleteResponse> {
        let container = self.container(&request.id)?;
        let (pid, exit) = if request.exec_id.is_empty() {
            let exit = container.delete().await?;
            if self.containers.remove(&request.id) {
                self.context.shutdown.request();
            }
            (container.pid(), Some(exit))
        } else {
            let exec = container.exec(&request.exec_id)?;
            let exit = exec.delete(&container).await?;
            (exec.pid(), exit)
        };
        let (exit_status, exited_at) = outcome(exit);
        Ok(DeleteResponse { pid, exit_status, exited_at, ..DeleteResponse::default() })
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Result<PidsResponse> {
        let container = self.container(&request.id)?;
        let mut pids = container.process_ids().await?;
        if pids.is_empty() && container.waits_for_delete() {
            // A task without pids is a leak to a containerd that starts and finds it: it would throw the exit status away.
            pids.push(container.pid());
        }
        let execs: Vec<(u32, String)> =
            container.execs().values().map(|exec| (exec.pid(), exec.id.clone())).collect();
        let processes = pids
            .into_iter()
            .map(|pid| {
                let exec = execs.iter().find(|(exec_pid, _)| *exec_pid == pid);
                process_info(pid, exec.map(|(_, exec_id)| exec_id.as_str()))
            })
            .collect::<std::result::Result<_, _>>()?;
        Ok(PidsResponse { processes, ..PidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Result<Empty> {
        self.container(&request.id)?.pause().await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Result<Empty> {
        self.container(&request.id)?.resume().await?;
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> Result<Empty> {
        Err(TaskError::Unsupported("checkpointing a task").into())
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Result<Empty> {
        let container = self.container(&request.id)?;
        let signal = signal(request.signal)?;
        if !request.exec_id.is_empty() {
            container.exec(&request.exec_id)?.signal(signal).await?;
        } else if request.all {
            container.signal_all(signal).await?;
        } else {
            container.signal(signal).await?;
        }
        Ok(Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Result<Empty> {
        let container = self.container(&request.id)?;
        if request.exec_id.is_empty() {
            return Err(TaskError::Missing("exec_id").into());
        }
        let mut spec: ProcessSpec = json(request.spec.as_ref(), "spec", "the process to execute")?;
        spec.set_terminal(Some(request.terminal));
        let stdio = Stdio {
            terminal: request.terminal,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        Exec::add(&container, &request.exec_id, spec, stdio)?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Result<Empty> {
        let container = self.container(&request.id)?;
        let size = TerminalSize {
            rows: terminal_length("height", request.height)?,
            columns: terminal_length("width", request.width)?,
        };
        if request.exec_id.is_empty() {
            container.streams.resize(size).map_err(TaskError::from)?;
        } else {
            container.exec(&request.exec_id)?.resize(size)?;
        }
        Ok(Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Result<Empty> {
        let container = self.container(&request.id)?;
        if request.exec_id.is_empty() {
            container.streams.close_stdin();
        } else {
            container.exec(&request.exec_id)?.streams.close_stdin();
        }
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Result<Empty> {
        let container = self.container(&request.id)?;
        // Without either there is nothing to do, which is a client's mistake.
        let resources: Option<LinuxResources> = match request.resources.as_ref() {
            None if !request.annotations.is_empty() => None,
            resources => Some(json(resources, "resources", "the resources to set")?),
        };
        container.update(resources, request.annotations).await?;
        Ok(Empty::new())
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Result<WaitResponse> {
        let container = self.container(&request.id)?;
        let exit = if request.exec_id.is_empty() {
            Some(container.wait().await)
        } else {
            container.exec(&request.exec_id)?.wait().await
        };
        let (exit_status, exited_at) = outcome(exit);
        Ok(WaitResponse { exit_status, exited_at, ..WaitResponse::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Result<StatsResponse> {
        let statistics = self.container(&request.id)?.statistics().await?;
        let stats = stats::encode(&statistics).map_err(TaskError::from)?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..StatsResponse::default() })
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Result<ConnectResponse> {
        // containerd asks for every bundle that it finds after a restart, so an unknown id is no error.
        let task_pid = self.container(&request.id).map_or(0, |container| container.pid());
        let version = version::VERSION.to_owned();
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..ConnectResponse::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> Result<Empty> {
        // Asked after every task's Delete by some versions of containerd; the last one counts. Others ask after the sandbox's
        // only, even when it ended before its containers.
        let closed = if request.id == self.context.id {
            self.containers.close_when_empty()
        } else {
            self.containers.close_if_empty()
        };
        if closed {
            self.context.shutdown.request();
        }
        Ok(Empty::new())
    }
}

fn describe(response: StateResponse, stdio: &Stdio, name: StateName, exit: Option<Exit>) -> StateResponse {
    let (exit_status, exited_at) = outcome(exit);
    StateResponse {
        status: status(name).into(),
        stdin: stdio.stdin.clone(),
        stdout: stdio.stdout.clone(),
        stderr: stdio.stderr.clone(),
        terminal: stdio.terminal,
        exit_status,
        exited_at,
        ..response
    }
}

/// What is starting or failed to is created as far as clients know.
fn status(name: StateName) -> Status {
    match name {
        StateName::Created | StateName::Starting | StateName::FailedToStart => Status::CREATED,
        StateName::Running => Status::RUNNING,
        StateName::Pausing => Status::PAUSING,
        StateName::Paused => Status::PAUSED,
        StateName::Stopped | StateName::Deleted => Status::STOPPED,
    }
}

/// Status and time of an exit; zeroes for what has not ended or never ran.
fn outcome(
    exit: Option<Exit>,
) -> (u32, MessageField<containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp>) {
    exit.map_or((0, MessageField::none()), |Exit { status, at }| (status, timestamp(at)))
}

fn process_info(pid: u32, exec_id: Option<&str>) -> std::result::Result<ProcessInfo, TaskError> {
    let Some(exec_id) = exec_id else { return Ok(ProcessInfo { pid, ..ProcessInfo::default() }) };
    let details = ProcessDetails { exec_id: exec_id.to_owned(), ..ProcessDetails::default() };
    let info =
        Any { type_url: PROCESS_DETAILS.to_owned(), value: details.write_to_bytes()?, ..Any::default() };
    Ok(ProcessInfo { pid, info: MessageField::some(info), ..ProcessInfo::default() })
}

fn signal(number: u32) -> std::result::Result<i32, TaskError> {
    let out_of_range = TaskError::OutOfRange { field: "signal", value: number, maximum: GREATEST_SIGNAL };
    i32::try_from(number).ok().filter(|_| number <= GREATEST_SIGNAL).ok_or(out_of_range)
}

fn terminal_length(field: &'static str, value: u32) -> std::result::Result<u16, TaskError> {
    u16::try_from(value).map_err(|_| TaskError::OutOfRange { field, value, maximum: u16::MAX.into() })
}

/// The JSON that containerd packs into an `Any`.
fn json<T: DeserializeOwned>(
    any: Option<&Any>,
    field: &'static str,
    what: &'static str,
) -> std::result::Result<T, TaskError> {
    let any = any.ok_or(TaskError::Missing(field))?;
    serde_json::from_slice(&any.value).map_err(|source| TaskError::Json { what, source })
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
