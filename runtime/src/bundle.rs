//! The bundle's `config.json`: read within bounds, parsed with the place of every mistake.
//!
//! Knows the file, not what it means. Properties that the OCI specification does not define are ignored, as it demands
//! (config.md, "Extensibility").

use crate::error::ErrorKind;
use oci_spec::runtime::Spec;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Nothing that Kubernetes can send comes near (a ttrpc message holds 4 MiB, an object in etcd 1.5 MiB), and what is
/// parsed takes a multiple of it in memory that is shared by a whole pod.
pub const MAXIMUM_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than anything reasonable.
    #[error("{path} is {bytes} bytes long; at most {MAXIMUM_CONFIG_BYTES} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is no OCI configuration.
    #[error("parse {path}, at {field}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The property at which it goes wrong, for example `linux.seccomp.defaultAction`.
        field: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl BundleError {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Read { .. } => ErrorKind::Internal,
            Self::TooLarge { .. } | Self::Parse { .. } => ErrorKind::InvalidArgument,
        }
    }
}

/// Reads the configuration of the bundle in `directory`.
///
/// # Errors
/// When the file is missing, too large, or no OCI configuration.
pub fn read_config(directory: &Path) -> Result<Spec, BundleError> {
    let path = directory.join("config.json");
    let read = |source| BundleError::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(read)?;
    let bytes = file.metadata().map_err(read)?.len();
    if bytes > MAXIMUM_CONFIG_BYTES {
        return Err(BundleError::TooLarge { path, bytes });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + 1);
    file.take(MAXIMUM_CONFIG_BYTES).read_to_end(&mut content).map_err(read)?;
    let deserializer = &mut serde_json::Deserializer::from_slice(&content);
    serde_path_to_error::deserialize(deserializer).map_err(|error| BundleError::Parse {
        path,
        field: error.path().to_string(),
        source: error.into_inner(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    fn read(content: &[u8]) -> Result<Spec, BundleError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), content).unwrap();
        read_config(directory.path())
    }

    #[test]
    fn a_truncated_config_is_told_as_such() {
        let error = read(br#"{"ociVersion":"1.2.0","process":{"cwd":"/"#).unwrap_err();
        assert!(report(&error).contains("EOF while parsing"), "{}", report(&error));
    }

    #[test]
    fn a_config_of_ten_mebibytes_is_refused_with_its_size_and_the_limit() {
        let error = read(&vec![b' '; 10 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("is 10485760 bytes long; at most 4194304"), "{error}");
    }

    #[test]
    fn an_unknown_enum_value_is_named_with_the_field_that_holds_it() {
        let error = read(br#"{"ociVersion":"1.2.0","linux":{"seccomp":{"defaultAction":"SCMP_ACT_MAYBE"}}}"#);
        let error = report(&error.unwrap_err());
        assert!(error.contains("linux.seccomp.defaultAction") && error.contains("SCMP_ACT_MAYBE"), "{error}");
    }

    #[test]
    fn a_property_that_the_specification_does_not_define_is_ignored() {
        assert!(read(br#"{"ociVersion":"1.2.0","newFeature":{"a":1}}"#).is_ok());
    }
}
