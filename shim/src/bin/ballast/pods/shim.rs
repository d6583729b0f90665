//! A pod's shim as a client sees it: one connection, each call bounded in time.

use std::{path::PathBuf, time::Duration};

use ballast_cgroups::priority::Level;
use ballast_proto::{
    PodClient,
    ballast_pod::{
        Container, DescribeRequest, DescribeResponse, Placement, ProcViewChange, SetLogLevelRequest,
        SetPriorityRequest, SetProcViewRequest,
    },
};
use tokio::{net::UnixStream, time::timeout};
use ttrpc::{
    Code,
    asynchronous::{Client, transport::Socket},
    context::Context,
};

use super::Pod;

/// A shim answers within milliseconds.
const ANSWER_BOUND: Duration = Duration::from_secs(5);

/// A connection to the shim of a pod.
pub(crate) struct Shim {
    /// The pod, for errors.
    pod: String,
    client: PodClient,
}

/// Why a shim has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    #[error("pod {pod}")]
    Record {
        pod: String,
        #[source]
        source: ballast_runtime::CallError,
    },
    #[error("the shim of pod {pod} has not said where it listens: it is of a version before this command")]
    Unrecorded { pod: String },
    #[error("connect to the shim of pod {pod} at {}", socket.display())]
    Connect {
        pod: String,
        socket: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the shim of pod {pod} does not answer within {} s", ANSWER_BOUND.as_secs())]
    Silent { pod: String },
    #[error("the shim of pod {pod} ended before it answered")]
    Ended { pod: String },
    #[error("the shim of pod {pod} is of a version that cannot do this: only pods started from now on can")]
    Older { pod: String },
    #[error("pod {pod}: {message}")]
    Refused { pod: String, message: String },
    #[error("talk to the shim of pod {pod}")]
    Transport {
        pod: String,
        #[source]
        source: ttrpc::Error,
    },
}

impl ShimError {
    /// Whether the shim is no longer there.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Ended { .. } => true,
            Self::Connect { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

impl Shim {
    /// Connects to the shim of a pod.
    pub(crate) async fn connect(pod: &Pod) -> Result<Self, ShimError> {
        let title = pod.title();
        let socket = match pod.record.socket() {
            Ok(Some(socket)) => socket,
            Ok(None) => return Err(ShimError::Unrecorded { pod: title }),
            Err(source) => return Err(ShimError::Record { pod: title, source }),
        };
        match UnixStream::connect(&socket).await {
            Ok(stream) => {
                let client = PodClient::new(Client::new(Socket::from(stream)));
                Ok(Self { pod: title, client })
            }
            Err(source) => Err(ShimError::Connect { pod: title, socket, source }),
        }
    }

    /// What it knows of its pod.
    pub(crate) async fn describe(&self) -> Result<DescribeResponse, ShimError> {
        self.answer(self.client.describe(Context::default(), &DescribeRequest::default())).await
    }

    /// Puts views in place, or the host's files, in one of the pod's containers or in all.
    pub(crate) async fn set_proc_view(
        &self,
        container: Option<&str>,
        placement: Placement,
    ) -> Result<Vec<ProcViewChange>, ShimError> {
        let request = SetProcViewRequest {
            container_id: container.unwrap_or_default().to_owned(),
            placement: placement.into(),
            ..SetProcViewRequest::default()
        };
        Ok(self.answer(self.client.set_proc_view(Context::default(), &request)).await?.changes)
    }

    /// Changes its log level; returns the one before.
    pub(crate) async fn set_log_level(&self, level: &str) -> Result<String, ShimError> {
        let request = SetLogLevelRequest { level: level.to_owned(), ..SetLogLevelRequest::default() };
        let answer = self.answer(self.client.set_log_level(Context::default(), &request)).await?;
        Ok(answer.previous)
    }

    /// Puts an operator's word about the priority of a container, or with `None` of the pod, before everybody's; or takes it
    /// back, with `None` as its level. Returns those that it is about.
    pub(crate) async fn set_priority(
        &self,
        container: Option<&str>,
        level: Option<Level>,
    ) -> Result<Vec<Container>, ShimError> {
        let request = SetPriorityRequest {
            container_id: container.unwrap_or_default().to_owned(),
            level: level.map(|level| level.number().into()),
            ..SetPriorityRequest::default()
        };
        let answer = self.answer(self.client.set_priority(Context::default(), &request)).await?;
        Ok(answer.containers)
    }

    async fn answer<T>(&self, call: impl Future<Output = ttrpc::Result<T>>) -> Result<T, ShimError> {
        let pod = self.pod.clone();
        // The bound is not ttrpc's: what it says when that has passed is a text for people.
        let Ok(answer) = timeout(ANSWER_BOUND, call).await else { return Err(ShimError::Silent { pod }) };
        answer.map_err(|error| match error {
            ttrpc::Error::RpcStatus(status) => match status.code() {
                Code::UNIMPLEMENTED => ShimError::Older { pod },
                _ => ShimError::Refused { pod, message: status.message().to_owned() },
            },
            ttrpc::Error::RemoteClosed | ttrpc::Error::LocalClosed | ttrpc::Error::Eof => {
                ShimError::Ended { pod }
            }
            source => ShimError::Transport { pod, source },
        })
    }
}
