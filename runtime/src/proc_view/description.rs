//! What a view consists of, for people.

use std::ffi::CStr;

/// A container's view as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDescription {
    /// Whether it is in the place of the kernel's files.
    pub placement: Placement,
    /// Its files.
    pub files: Vec<ShownFile>,
    /// Texts that were asked for.
    pub reads: u64,
    /// Texts in whose place the host's was shown.
    pub fallbacks: u64,
}

/// Whether a view is in the place of the kernel's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As since the container was made, or again.
    InPlace,
    /// Somebody wanted the host's files back.
    Withdrawn,
}

/// One file of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownFile {
    /// Where the container finds it.
    pub path: &'static CStr,
    /// Who answers its readers.
    pub mechanism: Mechanism,
}

/// Who answers the readers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The shim, by a text for each reader.
    Live,
    /// The kernel, by a text of the shim's that it keeps until something changes.
    Lasting,
    /// The kernel, by a file of the container's own cgroup.
    Kernel,
}
