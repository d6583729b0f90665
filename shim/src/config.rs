//! The node's configuration, TOML: `/etc/ballast/config.toml`, or what the runtime class's options give in its place.
//!
//! A key that is not known is refused by its name: a policy that is misspelt must not be a policy that is off. Must not know
//! what the settings do.

mod memory_qos;
mod proc_view;

use std::{io, path::PathBuf};

use ballast_cgroups::memory_qos::Policy;
use ballast_runtime::ViewPolicy;
use serde::Deserialize;

use crate::launch::options::ConfigSource;

/// Read when the runtime class names no other configuration.
pub const NODE_CONFIG: &str = "/etc/ballast/config.toml";

/// What can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Share the session keyring of containerd with containers instead of making one for each.
    #[serde(default)]
    pub no_new_keyring: bool,
    /// Accepted because runtime classes that are derived from runc's have it. It changes nothing: whether systemd owns a
    /// cgroup is read off the shape of its path.
    #[serde(default, rename = "SystemdCgroup")]
    pub systemd_cgroup: bool,
    /// What containers' memory is protected and throttled by.
    #[serde(default, deserialize_with = "memory_qos::deserialize")]
    pub memory_qos: Policy,
    /// Which containers see their own share of the machine below `/proc`.
    #[serde(default, deserialize_with = "proc_view::deserialize")]
    pub proc_view: ViewPolicy,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not what it should be.
    #[error("the configuration {origin}")]
    Parse {
        /// Where the text came from.
        origin: String,
        /// The place and what is wrong there.
        source: Box<toml::de::Error>,
    },
}

impl Configuration {
    /// Reads the configuration. That the node has none is fine; that a named file is missing is not.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        match source {
            ConfigSource::Text(text) => Self::parse(text, "of the runtime class"),
            ConfigSource::File(path) => Self::read(path.clone()),
            ConfigSource::Node => match Self::read(NODE_CONFIG.into()) {
                Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    Ok(Self::default())
                }
                result => result,
            },
        }
    }

    fn read(path: PathBuf) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path.display().to_string()),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        toml::from_str(text)
            .map_err(|source| ConfigError::Parse { origin: origin.to_owned(), source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_known_is_refused_by_name() {
        let error = Configuration::load(&ConfigSource::Text("no_new_keyrings = true".into())).unwrap_err();
        let text = ballast_runtime::report(&error);
        assert!(text.contains("of the runtime class") && text.contains("no_new_keyrings"), "{text}");
    }

    #[test]
    fn what_a_runtime_class_of_runc_says_about_systemd_is_accepted() {
        let text = ConfigSource::Text("SystemdCgroup = true\nno_new_keyring = true".into());
        assert!(Configuration::load(&text).unwrap().no_new_keyring);
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let error = Configuration::load(&ConfigSource::File("/no/such/config.toml".into())).unwrap_err();
        assert!(ballast_runtime::report(&error).contains("/no/such/config.toml: No such file"));
    }
}
