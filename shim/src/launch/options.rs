//! Runtime options of all three types that callers send. Must not know what becomes of them.
//!
//! A field that is set and cannot be honoured is refused by its name, never ignored.

use std::path::PathBuf;

use ballast_proto::{ballast_options, runtimeoptions};
use containerd_shim_protos::{
    protobuf::{Message, well_known_types::any::Any},
    shim::oci,
};

/// `containerd.runc.v1.Options`: what CRI sends for `runtime_type = "io.containerd.runc.v2"`, and `ctr` by default.
const RUNC: &str = "containerd.runc.v1.Options";
/// `runtimeoptions.v1.Options`: what CRI sends for any other runtime type with an options table.
const GENERIC: &str = "runtimeoptions.v1.Options";
/// Ballast's own.
const OWN: &str = "ballast.options.v1.Options";

/// Where the node's configuration is taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigSource {
    /// `/etc/ballast/config.toml`.
    #[default]
    Node,
    /// A file that replaces it.
    File(PathBuf),
    /// TOML text that is laid over it.
    Text(String),
}

/// What the three types have in common, and what only one can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// The cgroup for the shim itself, relative to the cgroup mount.
    pub shim_cgroup: Option<String>,
    /// Owner of the pipes that containers' processes get; they are given to each process's user anyway.
    pub io_uid: u32,
    /// Group of those pipes.
    pub io_gid: u32,
    /// The caller's cgroup driver is systemd's. Says nothing new: the driver is read off the shape of `cgroupsPath`.
    pub systemd_cgroup: bool,
    /// Where configuration comes from.
    pub config: ConfigSource,
    /// Fields of a newer containerd that this build does not know, by number: for the log.
    pub unknown_fields: Vec<u32>,
}

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not one of the types.
    #[error("runtime options of type {0:?} are unknown: expected {RUNC}, {GENERIC} or {OWN}")]
    UnknownType(String),
    /// The value does not decode.
    #[error("decode runtime options {type_url}")]
    Decode {
        /// The type.
        type_url: &'static str,
        /// What the decoder says.
        source: containerd_shim_protos::protobuf::Error,
    },
    /// A field asks for something that Ballast does not do.
    #[error("runtime option {field} is not supported: {reason}")]
    Unsupported {
        /// The field's name.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("runtime option config_body is not UTF-8")]
    Encoding(#[from] std::string::FromUtf8Error),
    /// Paths are resolved in a process that has another working directory than the caller.
    #[error("runtime option config_path {} is not absolute", .0.display())]
    RelativePath(PathBuf),
}

impl RuntimeOptions {
    /// Whether `options` is of one of the types read here.
    pub fn is_known(options: &Any) -> bool {
        [RUNC, GENERIC, OWN].contains(&bare_type(options))
    }

    /// Reads options of any of the three types. An `Any` without type is how "none" is sent.
    ///
    /// # Errors
    /// Unknown types, values that do not decode, fields that are set and not supported.
    pub fn decode(options: &Any) -> Result<Self, OptionsError> {
        match bare_type(options) {
            "" => Ok(Self::default()),
            RUNC => Self::from_runc(&parse(RUNC, options)?),
            GENERIC => Self::from_generic(parse(GENERIC, options)?),
            OWN => Self::from_own(parse(OWN, options)?),
            unknown => Err(OptionsError::UnknownType(unknown.to_owned())),
        }
    }

    fn from_runc(options: &oci::Options) -> Result<Self, OptionsError> {
        // task_api_address and task_api_version tell containerd where a sandbox's shim is; they say nothing to it.
        let oci::Options { binary_name, root, criu_image_path, criu_work_path, .. } = options;
        let no_binary = "Ballast creates containers itself and runs no other runtime";
        refuse_set("binary_name", binary_name, no_binary)?;
        refuse_set("root", root, "Ballast keeps no state of another runtime")?;
        refuse_set("criu_image_path", criu_image_path, "there is no checkpoint and restore")?;
        refuse_set("criu_work_path", criu_work_path, "there is no checkpoint and restore")?;
        if options.no_pivot_root {
            let reason = "a container's root is entered by pivot_root alone";
            return Err(OptionsError::Unsupported { field: "no_pivot_root", reason });
        }
        Ok(Self {
            no_new_keyring: options.no_new_keyring,
            shim_cgroup: non_empty(&options.shim_cgroup),
            io_uid: options.io_uid,
            io_gid: options.io_gid,
            systemd_cgroup: options.systemd_cgroup,
            config: ConfigSource::Node,
            unknown_fields: unknown_fields(options),
        })
    }

    fn from_generic(options: runtimeoptions::Options) -> Result<Self, OptionsError> {
        let unknown_fields = unknown_fields(&options);
        let body = String::from_utf8(options.config_body)?;
        Ok(Self { config: config_source(body, options.config_path)?, unknown_fields, ..Self::default() })
    }

    fn from_own(options: ballast_options::Options) -> Result<Self, OptionsError> {
        Ok(Self {
            unknown_fields: unknown_fields(&options),
            shim_cgroup: non_empty(&options.shim_cgroup),
            io_uid: options.io_uid,
            io_gid: options.io_gid,
            config: config_source(options.config_body, options.config_path)?,
            ..Self::default()
        })
    }
}

/// The text wins over the path: containerd sends both when its table names a file and more.
fn config_source(body: String, path: String) -> Result<ConfigSource, OptionsError> {
    if !body.is_empty() {
        return Ok(ConfigSource::Text(body));
    }
    if path.is_empty() {
        return Ok(ConfigSource::Node);
    }
    let path = PathBuf::from(path);
    if path.is_absolute() { Ok(ConfigSource::File(path)) } else { Err(OptionsError::RelativePath(path)) }
}

/// containerd writes bare names; other clients put a host in front.
fn bare_type(options: &Any) -> &str {
    options.type_url.rsplit('/').next().unwrap_or_default()
}

fn parse<M: Message>(type_url: &'static str, options: &Any) -> Result<M, OptionsError> {
    M::parse_from_bytes(&options.value).map_err(|source| OptionsError::Decode { type_url, source })
}

fn refuse_set(field: &'static str, value: &str, reason: &'static str) -> Result<(), OptionsError> {
    if value.is_empty() { Ok(()) } else { Err(OptionsError::Unsupported { field, reason }) }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn unknown_fields(message: &impl Message) -> Vec<u32> {
    message.special_fields().unknown_fields().iter().map(|(number, _)| number).collect()
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
