//! The node's configuration, TOML: `/etc/ballast/config.toml`, what the runtime class's options lay over it, or the file
//! that they name in its place.
//!
//! A key that is not known is refused by its name: a policy that is misspelt must not be a policy that is off. Must not know
//! what the settings do.

mod memory_qos;
mod priority;
mod proc_view;
#[cfg(test)]
mod properties;

use std::{
    io,
    path::{Path, PathBuf},
};

use ballast_cgroups::memory_qos::Policy;
use ballast_runtime::{PriorityPolicy, ViewPolicy};
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
    /// What containers have that say nothing about their priority, and whose other words for it count.
    #[serde(default, deserialize_with = "priority::deserialize")]
    pub priority: PriorityPolicy,
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
            ConfigSource::Text(text) => Self::laid_over(text, Path::new(NODE_CONFIG)),
            ConfigSource::File(path) => Ok(parse(&read(path)?, &path.display().to_string())?.0),
            ConfigSource::Node => match read(Path::new(NODE_CONFIG)) {
                Err(error) if error.is_missing_file() => Ok(Self::default()),
                text => Ok(parse(&text?, NODE_CONFIG)?.0),
            },
        }
    }

    /// What a runtime class says comes before what the node says, for each of the outermost keys as a whole: a class that
    /// says one thing, containerd's cgroup driver above all, must not undo all others.
    fn laid_over(text: &str, node: &Path) -> Result<Self, ConfigError> {
        let (own, class) = parse(text, OF_THE_CLASS)?;
        let mut table = match read(node) {
            Err(error) if error.is_missing_file() => return Ok(own),
            text => parse(&text?, &node.display().to_string())?.1,
        };
        table.extend(class);
        table.try_into().map_err(|source| ConfigError::parse(OF_THE_CLASS, source))
    }
}

const OF_THE_CLASS: &str = "of the runtime class";

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// The configuration, and what of it is written.
fn parse(text: &str, origin: &str) -> Result<(Configuration, toml::Table), ConfigError> {
    let configuration = toml::from_str(text).map_err(|source| ConfigError::parse(origin, source))?;
    let table = toml::from_str(text).map_err(|source| ConfigError::parse(origin, source))?;
    Ok((configuration, table))
}

impl ConfigError {
    fn parse(origin: &str, source: toml::de::Error) -> Self {
        Self::Parse { origin: origin.to_owned(), source: Box::new(source) }
    }

    fn is_missing_file(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use ballast_cgroups::memory_qos::Mode;

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
    fn what_a_runtime_class_does_not_mention_is_as_the_node_says() {
        let node = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            node.path(),
            "no_new_keyring = true\n[memory_qos]\npolicy = 'tiered'\nthrottling_factor = 0.9",
        )
        .unwrap();
        let driver = Configuration::laid_over("SystemdCgroup = true", node.path()).unwrap();
        assert_eq!(driver.memory_qos.mode, Mode::Tiered);
        let other = "no_new_keyring = false\n[memory_qos]\npolicy = 'off'";
        let other = Configuration::laid_over(other, node.path()).unwrap();
        assert!(!other.no_new_keyring);
        assert_eq!(other.memory_qos, Policy { mode: Mode::Off, ..Policy::default() });
        std::fs::write(node.path(), "polcy = 1").unwrap();
        let error = Configuration::laid_over("SystemdCgroup = true", node.path()).unwrap_err();
        assert!(ballast_runtime::report(&error).contains("polcy"));
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let error = Configuration::load(&ConfigSource::File("/no/such/config.toml".into())).unwrap_err();
        assert!(ballast_runtime::report(&error).contains("/no/such/config.toml: No such file"));
    }
}
