//! What a view consists of, for people.

/// A container's view as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDescription {
    /// Its files.
    pub files: Vec<ShownFile>,
    /// Texts that were asked for.
    pub reads: u64,
    /// Texts in whose place the host's was shown.
    pub fallbacks: u64,
}

/// One file of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownFile {
    /// Where the container finds it.
    pub path: String,
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
