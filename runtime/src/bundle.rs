//! The bundle's `config.json`: read within bounds, parsed with the place of every mistake.
//!
//! Knows the file, not what it means. Properties that the OCI specification does not define are ignored, as it demands
//! (config.md, "Extensibility"). The seccomp profile is most of the file and nearly always one that the shim knows already, so
//! it stays text until somebody has to understand it.

use crate::error::ErrorKind;
use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::value::RawValue;
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

/// A bundle's configuration.
#[derive(Debug)]
pub struct Config {
    /// All of it but `linux.seccomp`, which is never set here.
    pub spec: Spec,
    /// `linux.seccomp`.
    pub seccomp: Option<SeccompText>,
}

/// A seccomp profile as the configuration spells it: JSON for certain, perhaps no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompText {
    text: Box<str>,
    /// The file that it is from.
    path: PathBuf,
}

impl SeccompText {
    /// Its text. Equal texts are equal profiles.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Understands it.
    ///
    /// # Errors
    /// When it is no profile, with the place of the mistake.
    pub fn parse(&self) -> Result<LinuxSeccomp, BundleError> {
        located(&self.text, &self.path, "linux.seccomp.")
    }
}

/// Reads the configuration of the bundle in `directory`.
///
/// # Errors
/// When the file is missing, too large, or no OCI configuration. Whether its seccomp profile is one shows in
/// [`SeccompText::parse`].
pub fn read_config(directory: &Path) -> Result<Config, BundleError> {
    let path = directory.join("config.json");
    let read = |source| BundleError::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(read)?;
    let bytes = file.metadata().map_err(read)?.len();
    if bytes > MAXIMUM_CONFIG_BYTES {
        return Err(BundleError::TooLarge { path, bytes });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + 1);
    file.take(MAXIMUM_CONFIG_BYTES).read_to_end(&mut content).map_err(read)?;
    parse(&content, &path)
}

/// Where the profile is.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    linux: Option<LinuxOutline<'a>>,
}

#[derive(Deserialize)]
struct LinuxOutline<'a> {
    #[serde(borrow, default)]
    seccomp: Option<&'a RawValue>,
}

fn parse(content: &[u8], path: &Path) -> Result<Config, BundleError> {
    let wrong = |source| BundleError::Parse { path: path.to_owned(), field: ".".into(), source };
    let text = std::str::from_utf8(content).map_err(|error| wrong(serde_json::Error::custom(error)))?;
    let outline: Outline<'_> = match serde_json::from_str(text) {
        Ok(outline) => outline,
        // Once more, for the place of the mistake.
        Err(error) => return Err(located::<Spec>(text, path, "").err().unwrap_or_else(|| wrong(error))),
    };
    let Some(profile) = outline.linux.and_then(|linux| linux.seccomp).map(RawValue::get) else {
        return Ok(Config { spec: without_profile(text, path)?, seccomp: None });
    };
    // It is a part of the text.
    let begin = profile.as_ptr().addr() - text.as_ptr().addr();
    let (before, after) = (text.get(..begin), text.get(begin + profile.len()..));
    let others = [before.unwrap_or_default(), "null", after.unwrap_or_default()].concat();
    let seccomp = SeccompText { text: profile.into(), path: path.to_owned() };
    Ok(Config { spec: without_profile(&others, path)?, seccomp: Some(seccomp) })
}

/// A profile that the outline has missed would be ignored: serde takes a sequence for a structure, too.
fn without_profile(text: &str, path: &Path) -> Result<Spec, BundleError> {
    let spec: Spec = located(text, path, "")?;
    match spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        None => Ok(spec),
        Some(_) => Err(BundleError::Parse {
            path: path.to_owned(),
            field: "linux".into(),
            source: serde_json::Error::custom("not an object"),
        }),
    }
}

/// Parses; `within` is where the text is from.
fn located<T: DeserializeOwned>(text: &str, path: &Path, within: &str) -> Result<T, BundleError> {
    let deserializer = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(deserializer).map_err(|error| BundleError::Parse {
        path: path.to_owned(),
        field: format!("{within}{}", error.path()),
        source: error.into_inner(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;
    use serde_json::{Value, json};

    fn read(content: &[u8]) -> Result<Config, BundleError> {
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
        let config =
            read(br#"{"ociVersion":"1.2.0","linux":{"seccomp":{"defaultAction":"SCMP_ACT_MAYBE"}}}"#);
        let error = report(&config.unwrap().seccomp.unwrap().parse().unwrap_err());
        assert!(error.contains("linux.seccomp.defaultAction") && error.contains("SCMP_ACT_MAYBE"), "{error}");
        let error = read(br#"{"ociVersion":"1.2.0","linux":{"seccomp":null,"rootfsPropagation":7}}"#);
        let error = report(&error.unwrap_err());
        assert!(error.contains("linux.rootfsPropagation") && error.contains("invalid type"), "{error}");
    }

    #[test]
    fn a_property_that_the_specification_does_not_define_is_ignored() {
        assert!(read(br#"{"ociVersion":"1.2.0","newFeature":{"a":1}}"#).is_ok());
    }

    #[test]
    fn the_profile_is_apart_from_the_rest_wherever_it_is() {
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]});
        let spec = json!({
            "ociVersion": "1.2.0", "annotations": {"a": profile.to_string(), "b": "\u{e4}\"seccomp\":null"},
            "linux": {"cgroupsPath": "/x", "rootfsPropagation": "slave", "seccomp": profile.clone()},
            "root": {"path": "r"},
        });
        for text in [spec.to_string(), format!("{spec:#}")] {
            let config = read(text.as_bytes()).unwrap();
            let seccomp = config.seccomp.unwrap();
            assert_eq!(serde_json::from_str::<Value>(seccomp.text()).unwrap(), profile);
            assert!(seccomp.parse().is_ok());
            let mut whole: Spec = serde_json::from_str(&text).unwrap();
            let mut linux = whole.linux().clone().unwrap();
            linux.set_seccomp(None);
            whole.set_linux(Some(linux));
            assert_eq!(config.spec, whole);
        }
    }

    #[test]
    fn without_a_profile_there_is_none() {
        for text in
            [r#"{"ociVersion":"1.2.0","linux":{"seccomp":null}}"#, r#"{"ociVersion":"1.2.0","linux":{}}"#]
        {
            let config = read(text.as_bytes()).unwrap();
            assert!(config.seccomp.is_none() && config.spec.linux().is_some());
        }
        assert!(read(br#"{"ociVersion":"1.2.0"}"#).unwrap().seccomp.is_none());
        for wrong in [&b"\xff"[..], b"{\"ociVersion\":\"1.2.0\",\"unknown\":\"\xff\"}"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(read(br#"{"ociVersion":"1.2.0","linux":{"seccomp":null,"seccomp":{}}}"#).is_err());
    }
}
