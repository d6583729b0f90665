//! Cgroups that systemd owns. Where systemd runs, a path of systemd's form is a transient scope with `Delegate=yes`:
//! systemd makes the directory, leaves what is below it alone, and has to know the limits, because it writes its own
//! idea of them whenever it reloads. Where it does not run, such a path is only a path.
//!
//! A scope cannot be started without a process, and systemd removes it when its last process ends. A container's
//! first process is cloned straight into its cgroup, so the scope is started with a *placeholder*: any process of the
//! caller's that does nothing. It is to be ended as soon as the container's process is there.

mod annotation;
mod bus;
mod property;
mod scope;
mod slice;

use std::path::Path;

use crate::error::Kind;
use crate::path::CgroupPath;

pub use property::UnitProperties;
pub(crate) use scope::{Scope, tell_unit};
pub(crate) use slice::protect_slice;

/// Exists where systemd is the service manager: sd_booted(3).
const RUNNING: &str = "/run/systemd/system";

impl CgroupPath {
    /// Whether systemd owns the cgroup at this path: the path names a unit, and systemd runs.
    ///
    /// A node where systemd runs and its bus does not answer is broken; making the directories ourselves there would
    /// only look right until systemd undoes it. So the bus is not asked here, and its failure is an error.
    #[must_use]
    pub fn is_owned_by_systemd(&self) -> bool {
        self.unit().is_some() && Path::new(RUNNING).is_dir()
    }
}

/// A request that systemd refused or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemdError {
    /// A call on the bus failed.
    #[error("{step} of systemd unit {unit}")]
    Bus {
        /// The method, or the step of it.
        step: &'static str,
        /// The unit.
        unit: String,
        /// The cause.
        #[source]
        source: zbus::Error,
    },

    /// systemd took the request, and its job failed.
    #[error("job of systemd unit {unit} ended with {result:?}")]
    Job {
        /// The unit.
        unit: String,
        /// systemd's word for the end of the job.
        result: String,
    },

    /// systemd did not answer in time.
    #[error("systemd did not finish {step} of unit {unit} in {seconds} seconds")]
    TimedOut {
        /// The step.
        step: &'static str,
        /// The unit.
        unit: String,
        /// How long it was waited for.
        seconds: u64,
    },

    /// A slice takes no processes of its own.
    #[error("systemd unit {unit} is not a scope, so it cannot hold a container")]
    NotAScope {
        /// The unit.
        unit: String,
    },

    /// The cgroup is systemd's to make.
    #[error("systemd owns unit {unit}, whose cgroup cannot be made without it")]
    Owned {
        /// The unit.
        unit: String,
    },

    /// An annotation `org.systemd.property.*` that cannot be used.
    #[error("annotation {name} = {value:?}: {reason}")]
    Annotation {
        /// The annotation's name.
        name: String,
        /// Its value.
        value: String,
        /// Why it is refused.
        reason: &'static str,
    },
}

impl SystemdError {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Bus { source, .. } => bus::kind_of(source),
            Self::Job { .. } => Kind::Internal,
            Self::TimedOut { .. } | Self::Owned { .. } => Kind::FailedPrecondition,
            Self::NotAScope { .. } | Self::Annotation { .. } => Kind::InvalidArgument,
        }
    }
}
