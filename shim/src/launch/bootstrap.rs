//! What `start` finds on standard input, and the answer that its caller understands.
//!
//! containerd 2.3 and newer send `BootstrapParams`, older ones an `Any` with the runtime options, or nothing. Both
//! decode as each other (fields 1 and 2 are strings or bytes in both), so the parameters count only when they name
//! the task of the command line. Must not know what the parameters lead to.

use std::io::{self, Read};

use containerd_shim_protos::{
    bootstrap_api::{BootstrapParams, BootstrapResult},
    protobuf::{Message, well_known_types::any::Any},
};

use super::options::{OptionsError, RuntimeOptions};
use crate::log::Level;

/// As much as containerd's own shims read.
const LONGEST_INPUT: u64 = 10 << 20;
/// The Task API version offered to callers that can be told.
const TASK_API_VERSION: i32 = 3;

/// What cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Standard input cannot be read.
    #[error("read standard input")]
    Read(#[source] io::Error),
    /// More than any caller sends.
    #[error("standard input is longer than {LONGEST_INPUT} bytes")]
    TooLong,
    /// Neither of the two messages.
    #[error("standard input is neither bootstrap parameters of this task nor runtime options")]
    NotUnderstood(#[source] containerd_shim_protos::protobuf::Error),
    /// The runtime options are not usable.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The answer cannot be encoded.
    #[error("encode answer")]
    Encode(#[source] containerd_shim_protos::protobuf::Error),
}

/// Who called `start`, which decides the form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// containerd 2.3 or newer.
    Bootstrap(Box<BootstrapParams>),
    /// containerd before 2.3, with its runtime options if there are any.
    Legacy(Option<Any>),
}

/// Reads standard input up to its end.
///
/// # Errors
/// Read errors, and input of more than 10 MiB.
pub fn read_input(input: impl Read) -> Result<Vec<u8>, BootstrapError> {
    let mut bytes = Vec::new();
    input.take(LONGEST_INPUT + 1).read_to_end(&mut bytes).map_err(BootstrapError::Read)?;
    if bytes.len() as u64 > LONGEST_INPUT {
        return Err(BootstrapError::TooLong);
    }
    Ok(bytes)
}

impl Caller {
    /// Tells the callers apart.
    ///
    /// # Errors
    /// Input that is neither message.
    pub fn identify(input: &[u8], id: &str, namespace: &str) -> Result<Self, BootstrapError> {
        if input.is_empty() {
            return Ok(Self::Legacy(None));
        }
        match BootstrapParams::parse_from_bytes(input) {
            Ok(parameters) if parameters.instance_id == id && parameters.namespace == namespace => {
                Ok(Self::Bootstrap(Box::new(parameters)))
            }
            _ => Any::parse_from_bytes(input)
                .map(Some)
                .map(Self::Legacy)
                .map_err(BootstrapError::NotUnderstood),
        }
    }

    /// The runtime options among what the caller sent; defaults when there are none.
    ///
    /// Extensions of other types carry configuration for other readers and are left alone.
    ///
    /// # Errors
    /// Options of an unknown type or with fields that are not supported.
    pub fn options(&self) -> Result<RuntimeOptions, OptionsError> {
        match self {
            Self::Legacy(None) => Ok(RuntimeOptions::default()),
            Self::Legacy(Some(options)) => RuntimeOptions::decode(options),
            Self::Bootstrap(parameters) => {
                let mut values =
                    parameters.extensions.iter().filter_map(|extension| extension.value.as_ref());
                match values.find(|value| RuntimeOptions::is_known(value)) {
                    Some(options) => RuntimeOptions::decode(options),
                    None => Ok(RuntimeOptions::default()),
                }
            }
        }
    }

    /// The log level asked for, if the caller can say more than `-debug`.
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Bootstrap(parameters) => Some(Level::from_bootstrap(parameters.log_level.value())),
            Self::Legacy(_) => None,
        }
    }

    /// The directory for the shim's socket, if the caller names one.
    pub fn socket_directory(&self) -> Option<&str> {
        match self {
            Self::Bootstrap(parameters) => {
                parameters.socket_dir.as_deref().filter(|directory| !directory.is_empty())
            }
            Self::Legacy(_) => None,
        }
    }

    /// containerd's ttrpc socket, if the caller names it here and not only in the environment.
    pub fn ttrpc_address(&self) -> Option<&str> {
        match self {
            Self::Bootstrap(parameters) => {
                Some(parameters.containerd_ttrpc_address.as_str()).filter(|address| !address.is_empty())
            }
            Self::Legacy(_) => None,
        }
    }

    /// containerd's gRPC socket, likewise.
    pub fn grpc_address(&self) -> Option<&str> {
        match self {
            Self::Bootstrap(parameters) => {
                Some(parameters.containerd_grpc_address.as_str()).filter(|address| !address.is_empty())
            }
            Self::Legacy(_) => None,
        }
    }

    /// The answer: a message with version 3 for who sent parameters, else the bare address, which stands for
    /// version 2 and is all that containerd 1.7 takes.
    ///
    /// # Errors
    /// When the message cannot be encoded.
    pub fn reply(&self, address: &str) -> Result<Vec<u8>, BootstrapError> {
        match self {
            Self::Legacy(_) => Ok(address.as_bytes().to_vec()),
            Self::Bootstrap(_) => {
                let result = BootstrapResult {
                    version: TASK_API_VERSION,
                    address: address.to_owned(),
                    protocol: "ttrpc".to_owned(),
                    ..BootstrapResult::default()
                };
                result.write_to_bytes().map_err(BootstrapError::Encode)
            }
        }
    }
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
