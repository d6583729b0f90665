//! From a spec to a plan: parse, check and resolve everything before anything is touched.
//!
//! Each submodule translates one part of the spec. They look at the host only to resolve (open a namespace, examine a
//! mount source); they change nothing. What cannot be carried out is refused here, by the name of its field.

mod annotations;
mod asked;
mod cpu_view;
mod devices;
mod hooks;
mod ids;
mod memory_qos;
mod mount_options;
mod mounts;
mod namespaces;
mod priority;
mod proc_view;
mod process;
mod sysctls;
mod sysinfo;
pub(crate) mod wire;

pub(crate) use annotations::{Annotation, Annotations};
pub use asked::Asked;
pub(crate) use cpu_view::{CpuViewPlan, plan_cpu_view};
pub(crate) use devices::plan_devices;
pub(crate) use hooks::{RuntimeHooks, plan_hooks};
pub(crate) use ids::{IdMaps, id_map_lines};
pub(crate) use memory_qos::plan_memory_qos;
pub(crate) use mount_options::{Bind, KNOWN as KNOWN_MOUNT_OPTIONS};
pub(crate) use mounts::{Binder, clone_tree, plan_mounts, rootfs_mount_flags};
pub(crate) use namespaces::{Namespaces, UserNamespace, plan_namespaces};
pub use priority::{LevelSource, PriorityPolicy, UnknownVocabulary, Vocabulary};
pub(crate) use priority::{PriorityPlan, plan_priority};
pub use proc_view::ViewWish;
pub(crate) use proc_view::{ViewPlan, ViewReason, plan_proc_view, precedes_views};
pub(crate) use process::{Surroundings, plan_process};
pub(crate) use sysctls::plan_sysctls;
pub(crate) use sysinfo::{SysinfoPlan, plan_sysinfo};

use crate::error::ErrorKind;
use oci_spec::runtime::Spec;
use std::borrow::Cow;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a spec is refused. The field is named as in `config.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Ballast does not do this.
    #[error("{field} is not supported")]
    Unsupported {
        /// The field.
        field: String,
    },
    /// The value makes no sense.
    #[error("{field}: {value:?} {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What is wrong with it, to be read after the value.
        reason: Cow<'static, str>,
    },
    /// The field must be there.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// What the field names cannot be used.
    #[error("{field}: {value:?}: {action}")]
    Unusable {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        errno: rustix::io::Errno,
    },
}

impl PlanError {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported { .. } => ErrorKind::Unimplemented,
            _ => ErrorKind::InvalidArgument,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: impl Into<String>, reason: &'static str) -> Self {
        Self::Invalid { field: field.into(), value: value.into(), reason: reason.into() }
    }
}

/// Refuses what the spec asks for and nobody here carries out.
pub(crate) fn refuse_unsupported(spec: &Spec) -> Result<(), PlanError> {
    let linux = spec.linux().as_ref();
    let asked = [
        (spec.solaris().is_some(), "solaris"),
        (spec.windows().is_some(), "windows"),
        (spec.vm().is_some(), "vm"),
        (spec.zos().is_some(), "zos"),
        (linux.is_some_and(|linux| linux.intel_rdt().is_some()), "linux.intelRdt"),
        (linux.is_some_and(|linux| linux.memory_policy().is_some()), "linux.memoryPolicy"),
        (
            linux.and_then(|linux| linux.net_devices().as_ref()).is_some_and(|devices| !devices.is_empty()),
            "linux.netDevices",
        ),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, field)) => Err(PlanError::Unsupported { field: (*field).to_owned() }),
        None => Ok(()),
    }
}

/// A string for the kernel. NUL is the one byte that it cannot hold.
pub(crate) fn c_string(field: &str, value: impl AsRef<[u8]>) -> Result<CString, PlanError> {
    CString::new(value.as_ref())
        .map_err(|_| PlanError::invalid(field, String::from_utf8_lossy(value.as_ref()), "holds a NUL byte"))
}

/// An absolute path without `.`, `..` and doubled slashes, for the kernel.
pub(crate) fn absolute_path(field: &str, path: &Path) -> Result<CString, PlanError> {
    c_string(field, normalized(path).as_os_str().as_bytes())
}

/// The path below `/`, lexically without `.`, `..` and doubled slashes.
pub(crate) fn normalized(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}
