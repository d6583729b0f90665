//! What goes wrong with a task, and the status code that containerd is told. Must not know how errors travel.

use containerd_shim_protos::{protobuf, ttrpc};
use ttrpc::Code;

use super::state::Refusal;
use crate::{config::ConfigError, io::IoError, launch::options::OptionsError};

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The id is not, or no longer, of a task of this shim.
    #[error("container {0} not created")]
    NoSuchContainer(String),
    /// The container has no such process.
    #[error("process {exec_id} does not exist in container {id}")]
    NoSuchProcess {
        /// The container.
        id: String,
        /// The process.
        exec_id: String,
    },
    /// The id is taken.
    #[error("container {0} already exists")]
    ContainerExists(String),
    /// The exec id is taken.
    #[error("process {exec_id} already exists in container {id}")]
    ProcessExists {
        /// The container.
        id: String,
        /// The process.
        exec_id: String,
    },
    /// The caller's deadline passed during a Create, which was undone then.
    #[error("container {0} was created after the deadline of the request, and deleted again")]
    CreatedTooLate(String),
    /// The shim has answered a Shutdown.
    #[error("shim is shutting down")]
    ShuttingDown,
    /// The state does not allow it.
    #[error("container {id}{}", exec_id.as_deref().map(|exec_id| format!(", process {exec_id}")).unwrap_or_default())]
    Refused {
        /// The container.
        id: String,
        /// The exec'ed process, when it is about one.
        exec_id: Option<String>,
        /// Why.
        source: Refusal,
    },
    /// Ballast does not do it.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A request lacks what it has to have.
    #[error("the request has no {0}")]
    Missing(&'static str),
    /// A number is out of its range.
    #[error("{field} {value} is out of range (at most {maximum})")]
    OutOfRange {
        /// The field of the request.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The greatest one.
        maximum: u32,
    },
    /// JSON inside a request that does not decode.
    #[error("decode {what}")]
    Json {
        /// What it should have been.
        what: &'static str,
        /// What the decoder says.
        source: serde_json::Error,
    },
    /// The runtime options.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The node's configuration.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The standard streams.
    #[error("standard streams")]
    Io(#[from] IoError),
    /// The runtime failed.
    #[error("{operation}")]
    Runtime {
        /// What was asked of it.
        operation: &'static str,
        /// The cause.
        source: ballast_runtime::Error,
    },
    /// A new process cannot be watched.
    #[error("watch process {pid}")]
    Watch {
        /// The process.
        pid: u32,
        /// The cause.
        source: std::io::Error,
    },
    /// A blocking call did not return.
    #[error("{operation}: the call was lost")]
    Lost {
        /// What was asked for.
        operation: &'static str,
        /// What the executor says.
        source: tokio::task::JoinError,
    },
    /// An answer that does not encode.
    #[error("encode answer")]
    Encode(#[from] protobuf::Error),
}

impl TaskError {
    /// The code that clients decide by (containerd `errdefs`).
    pub fn code(&self) -> Code {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchProcess { .. } => Code::NOT_FOUND,
            Self::ContainerExists(_) | Self::ProcessExists { .. } => Code::ALREADY_EXISTS,
            Self::CreatedTooLate(_) => Code::DEADLINE_EXCEEDED,
            Self::ShuttingDown => Code::UNAVAILABLE,
            Self::Refused { source: Refusal::Finished, .. } => Code::NOT_FOUND,
            Self::Refused { .. } => Code::FAILED_PRECONDITION,
            Self::Unsupported(_) => Code::UNIMPLEMENTED,
            Self::Missing(_)
            | Self::OutOfRange { .. }
            | Self::Json { .. }
            | Self::Options(_)
            | Self::Configuration(_) => Code::INVALID_ARGUMENT,
            Self::Io(error) if error.is_callers_fault() => Code::INVALID_ARGUMENT,
            Self::Runtime { source, .. } => code_of_kind(source.kind()),
            Self::Io(_) | Self::Watch { .. } | Self::Lost { .. } | Self::Encode(_) => Code::INTERNAL,
        }
    }
}

fn code_of_kind(kind: ballast_runtime::ErrorKind) -> Code {
    use ballast_runtime::ErrorKind;
    match kind {
        ErrorKind::NotFound => Code::NOT_FOUND,
        ErrorKind::AlreadyExists => Code::ALREADY_EXISTS,
        ErrorKind::FailedPrecondition => Code::FAILED_PRECONDITION,
        ErrorKind::InvalidArgument => Code::INVALID_ARGUMENT,
        ErrorKind::Unimplemented => Code::UNIMPLEMENTED,
        _ => Code::INTERNAL,
    }
}

impl From<TaskError> for ttrpc::Error {
    /// With the whole chain of causes in one line: this text is all that the caller gets.
    fn from(error: TaskError) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), ballast_runtime::report(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_a_process_that_is_gone_is_not_found_with_the_text_that_clients_know() {
        let error = TaskError::Refused { id: "c".into(), exec_id: None, source: Refusal::Finished };
        assert_eq!(error.code(), Code::NOT_FOUND);
        assert_eq!(ballast_runtime::report(&error), "container c: process already finished");
    }

    #[test]
    fn the_answer_has_the_whole_chain_in_one_line() {
        let source = serde_json::from_str::<u32>("x").unwrap_err();
        let answer = ttrpc::Error::from(TaskError::Json { what: "the process to execute", source });
        let ttrpc::Error::RpcStatus(status) = answer else { panic!("no status") };
        assert_eq!(status.code(), Code::INVALID_ARGUMENT);
        assert!(
            status.message().starts_with("decode the process to execute: expected value"),
            "{}",
            status.message()
        );
    }
}
