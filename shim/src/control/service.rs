//! The calls of the Pod service: decode, call, encode. Must not know how anything is done.

use std::sync::Arc;

use async_trait::async_trait;
use ballast_cgroups::priority;
use ballast_proto::{Pod, ballast_pod as wire};
use ballast_runtime::{ContainerPriority, Mechanism, Placement, ShownFile, ViewDescription};
use containerd_shim_protos::protobuf::MessageField;
use ttrpc::{Code, Result, asynchronous::TtrpcContext};

use crate::{
    log::{self, Level},
    server::Context,
    task::{Description, TaskError, TaskService},
    version,
};

/// The control of one pod.
#[derive(Debug)]
pub struct PodService {
    context: Context,
    tasks: Arc<TaskService>,
}

impl PodService {
    /// Control of the pod that has these tasks.
    pub fn new(context: Context, tasks: Arc<TaskService>) -> Self {
        Self { context, tasks }
    }
}

/// Why a request is refused before anything is done.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("there is no log level {given:?}: there are {}", Level::ALL.map(Level::name).join(", "))]
    Level { given: String },
    #[error("level {given} {source}")]
    Priority { given: u32, source: priority::LevelFault },
    #[error("there is no placement {given} of a view")]
    Placement { given: i32 },
}

impl From<ControlError> for ttrpc::Error {
    fn from(error: ControlError) -> Self {
        let code = match error {
            ControlError::Level { .. } | ControlError::Priority { .. } | ControlError::Placement { .. } => {
                Code::INVALID_ARGUMENT
            }
        };
        Self::RpcStatus(ttrpc::get_status(code, error))
    }
}

#[async_trait]
impl Pod for PodService {
    async fn describe(&self, _: &TtrpcContext, _: wire::DescribeRequest) -> Result<wire::DescribeResponse> {
        let containers = self.tasks.describe().await?;
        Ok(wire::DescribeResponse {
            id: self.context.id.clone(),
            namespace: self.context.namespace.clone(),
            shim_pid: std::process::id(),
            shim_version: version::VERSION.to_owned(),
            log_level: log::level().name().to_owned(),
            containers: containers.into_iter().map(container).collect(),
            ..wire::DescribeResponse::default()
        })
    }

    async fn set_priority(
        &self,
        _: &TtrpcContext,
        request: wire::SetPriorityRequest,
    ) -> Result<wire::SetPriorityResponse> {
        let level = level_of(request.level)?;
        let id = Some(request.container_id.as_str()).filter(|id| !id.is_empty());
        let containers = self.tasks.set_priority(id, level).await?;
        Ok(wire::SetPriorityResponse {
            containers: containers.into_iter().map(container).collect(),
            ..wire::SetPriorityResponse::default()
        })
    }

    async fn set_proc_view(
        &self,
        _: &TtrpcContext,
        request: wire::SetProcViewRequest,
    ) -> Result<wire::SetProcViewResponse> {
        let placement = match request.placement.enum_value() {
            Ok(wire::Placement::IN_PLACE) => Placement::InPlace,
            Ok(wire::Placement::WITHDRAWN) => Placement::Withdrawn,
            Ok(wire::Placement::PLACEMENT_UNSPECIFIED) | Err(_) => {
                return Err(ControlError::Placement { given: request.placement.value() }.into());
            }
        };
        let outcomes = if request.container_id.is_empty() {
            self.tasks.place_views(placement).await?
        } else {
            let paths = self.tasks.place_view(&request.container_id, placement).await?;
            vec![(request.container_id, Ok(paths))]
        };
        let changes = outcomes.into_iter().map(|(id, outcome)| proc_view_change(id, outcome)).collect();
        Ok(wire::SetProcViewResponse { changes, ..wire::SetProcViewResponse::default() })
    }

    async fn set_log_level(
        &self,
        _: &TtrpcContext,
        request: wire::SetLogLevelRequest,
    ) -> Result<wire::SetLogLevelResponse> {
        let level = Level::from_name(&request.level).ok_or(ControlError::Level { given: request.level })?;
        let previous = log::level();
        log::change_level(level);
        Ok(wire::SetLogLevelResponse {
            previous: previous.name().to_owned(),
            ..wire::SetLogLevelResponse::default()
        })
    }
}

/// A level as it travels; nothing is nothing.
fn level_of(number: Option<u32>) -> std::result::Result<Option<priority::Level>, ControlError> {
    let level = |given| {
        let number = u8::try_from(given).map_err(|_| priority::LevelFault);
        number.and_then(priority::Level::new).map_err(|source| ControlError::Priority { given, source })
    };
    number.map(level).transpose()
}

fn priority_of(priority: &ContainerPriority) -> wire::Priority {
    wire::Priority {
        level: priority.level.map(|level| level.number().into()),
        source: priority.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        outcomes: priority.outcomes(),
        ..wire::Priority::default()
    }
}

fn container(description: Description) -> wire::Container {
    wire::Container {
        priority: MessageField::some(priority_of(&description.priority)),
        id: description.id,
        name: description.name,
        pid: description.pid,
        state: description.state.to_string(),
        proc_view: description
            .view
            .map_or_else(MessageField::none, |view| MessageField::some(proc_view(view))),
        ..wire::Container::default()
    }
}

fn proc_view(view: ViewDescription) -> wire::ProcView {
    let file = |file: ShownFile| wire::ViewFile {
        path: file.path.to_string_lossy().into_owned(),
        mechanism: mechanism(file.mechanism).into(),
        ..wire::ViewFile::default()
    };
    wire::ProcView {
        files: view.files.into_iter().map(file).collect(),
        reads: view.reads,
        fallbacks: view.fallbacks,
        placement: match view.placement {
            Placement::InPlace => wire::Placement::IN_PLACE,
            Placement::Withdrawn => wire::Placement::WITHDRAWN,
        }
        .into(),
        ..wire::ProcView::default()
    }
}

fn mechanism(mechanism: Mechanism) -> wire::Mechanism {
    match mechanism {
        Mechanism::Live => wire::Mechanism::LIVE,
        Mechanism::Lasting => wire::Mechanism::LASTING,
        Mechanism::Kernel => wire::Mechanism::KERNEL,
    }
}

fn proc_view_change(
    container_id: String,
    outcome: std::result::Result<Vec<String>, TaskError>,
) -> wire::ProcViewChange {
    let (paths, failure) = match outcome {
        Ok(paths) => (paths, String::new()),
        Err(error) => (Vec::new(), ballast_runtime::report(&error)),
    };
    wire::ProcViewChange { container_id, paths, failure, ..wire::ProcViewChange::default() }
}
