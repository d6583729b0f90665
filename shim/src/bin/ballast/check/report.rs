//! What a check found, in the form that programs read. Fields are only ever added.

use std::path::{Path, PathBuf};

use ballast_cgroups::priority::NodeReport;
use ballast_cgroups::{Cgroup, Error, Hierarchy};
use ballast_runtime::{KernelFeature, Presence, kernel_features};
use ballast_shim::config::{Configuration, NODE_CONFIG};
use ballast_shim::launch::options::ConfigSource;
use serde::Serialize;

/// What becomes of containers that cannot do without one of these.
const NEEDED_CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// The node.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) kernel: String,
    pub(super) hierarchy: PathBuf,
    pub(super) controllers: Vec<String>,
    /// Of [`NEEDED_CONTROLLERS`].
    pub(super) missing_controllers: Vec<&'static str>,
    /// Whether systemd owns cgroups here.
    pub(super) systemd: bool,
    pub(super) configuration: ConfigurationReport,
    /// The cgroup whose files were looked at; `null` when there is none.
    pub(super) cgroup: Option<PathBuf>,
    pub(super) features: Vec<Feature>,
    /// What there is for priorities, and what is done for each knob.
    pub(super) priorities: NodeReport,
}

/// The node's configuration.
#[derive(Debug, Serialize)]
pub(super) struct ConfigurationReport {
    pub(super) path: PathBuf,
    pub(super) exists: bool,
    /// Why containers are refused until it is mended.
    pub(super) error: Option<String>,
}

/// Something of the kernel's.
#[derive(Debug, Serialize)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) since: &'static str,
    pub(super) needed: bool,
    /// `null` when it could not be tried.
    pub(super) present: Option<bool>,
    /// What the kernel said, or why it could not be tried.
    pub(super) reason: Option<String>,
    pub(super) without: &'static str,
}

impl Report {
    pub(super) fn of(hierarchy: &Hierarchy, cgroup: Option<&Cgroup>) -> Result<Self, Error> {
        let name = rustix::system::uname();
        let missing = |controller: &&str| !hierarchy.controllers().contains(controller);
        Ok(Self {
            kernel: format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
            hierarchy: hierarchy.mount_point().to_owned(),
            controllers: hierarchy.controllers().iter().map(str::to_owned).collect(),
            missing_controllers: NEEDED_CONTROLLERS.into_iter().filter(missing).collect(),
            systemd: Path::new("/run/systemd/system").is_dir(),
            configuration: ConfigurationReport {
                path: NODE_CONFIG.into(),
                exists: Path::new(NODE_CONFIG).exists(),
                error: Configuration::load(&ConfigSource::Node)
                    .err()
                    .map(|error| ballast_runtime::report(&error)),
            },
            cgroup: cgroup.map(|cgroup| cgroup.directory_path().to_owned()),
            features: kernel_features(cgroup).into_iter().map(Feature::from).collect(),
            priorities: hierarchy.priority_support()?,
        })
    }

    /// What keeps Ballast from running here.
    pub(super) fn obstacles(&self) -> Vec<String> {
        let features =
            self.features.iter().filter(|feature| feature.needed && feature.present == Some(false));
        let features = features
            .map(|feature| format!("{} ({})", feature.name, feature.reason.as_deref().unwrap_or("missing")));
        features.chain(self.configuration.error.clone()).collect()
    }
}

impl From<KernelFeature> for Feature {
    fn from(feature: KernelFeature) -> Self {
        let (present, reason) = match feature.presence {
            Presence::Present => (Some(true), None),
            Presence::Missing(reason) => (Some(false), Some(reason)),
            Presence::Unknown(reason) => (None, Some(reason)),
        };
        let KernelFeature { name, since, is_needed: needed, without, .. } = feature;
        Self { name, since, needed, present, reason, without }
    }
}
