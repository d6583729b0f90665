//! `-info`: what containerd may count on. Must not know how any of it is done.

use ballast_runtime::features::features;
use containerd_shim_protos::{
    protobuf::{Message, MessageField, well_known_types::any::Any},
    types::introspection::{RuntimeInfo, RuntimeVersion},
};

use crate::version;

/// typeurl's name of the JSON that the OCI runtime specification defines.
const FEATURES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// The features do not encode.
    #[error("encode features")]
    Features(#[from] serde_json::Error),
    /// The message does not encode.
    #[error("encode runtime description")]
    Encode(#[from] containerd_shim_protos::protobuf::Error),
}

/// The encoded `RuntimeInfo`. Needs neither environment nor input: options change nothing here.
pub(super) fn reply() -> Result<Vec<u8>, InfoError> {
    let features =
        Any { type_url: FEATURES_TYPE.to_owned(), value: serde_json::to_vec(&features())?, ..Any::default() };
    let info = RuntimeInfo {
        name: version::NAME.to_owned(),
        version: MessageField::some(RuntimeVersion {
            version: version::VERSION.to_owned(),
            revision: version::REVISION.to_owned(),
            ..RuntimeVersion::default()
        }),
        features: MessageField::some(features),
        ..RuntimeInfo::default()
    };
    Ok(info.write_to_bytes()?)
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
