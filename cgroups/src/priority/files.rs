//! All that the rest of this directory does to the kernel goes through [`Files`], so that what vendor kernels would answer can be
//! tried with a model of their files. Knows no backend and no meaning.

use std::path::PathBuf;

use crate::error::Result;
use crate::limits::DeviceNumber;

/// A disk of the node, with what can weigh its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) number: DeviceNumber,
    /// The one in use: `bfq`, `mq-deadline`, `none`.
    pub(super) scheduler: String,
    /// Whether `io.cost.qos` of the root is enabled for it.
    pub(super) cost_model: bool,
}

/// Cgroups by their path below the root of the hierarchy, and the node around them.
///
/// An error of kind [`NotFound`](crate::Kind::NotFound) says that the file or its directory is gone.
pub(super) trait Files {
    /// The absolute path, for reports.
    fn path(&self, directory: &str) -> PathBuf;
    /// The names of a cgroup's files.
    fn names(&self, directory: &str) -> Result<Vec<String>>;
    /// The names of the cgroups directly below.
    fn children(&self, directory: &str) -> Result<Vec<String>>;
    /// A file's content without white space at its end.
    fn read(&self, directory: &str, file: &str) -> Result<String>;
    /// One `write(2)`.
    fn write(&self, directory: &str, file: &str, value: &str) -> Result<()>;
    /// Writes `to` in each cgroup below, at any depth, whose file holds `from`.
    fn replace_below(&self, directory: &str, file: &str, from: &str, to: &str) -> Result<()>;
    /// Ballast's note on a cgroup.
    fn note(&self, directory: &str) -> Result<Option<String>>;
    /// Writes the note, or removes it.
    fn set_note(&self, directory: &str, text: Option<&str>) -> Result<()>;
    /// A file of the node outside of cgroups, by its absolute path. Only ever read.
    fn node(&self, path: &str) -> rustix::io::Result<String>;
    /// The node's disks, without those that are made of others.
    fn disks(&self) -> Vec<Disk>;
}
