//! What the meter found, as it travels from the node: one line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The marker of the meter's line among whatever else is printed.
pub const PREFIX: &str = "measured ";

/// Everything that one run of the meter counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// By operation, such as `exec`.
    pub operations: BTreeMap<String, Operation>,
    /// The shim and its spawner when idle, after all operations; bytes by kind.
    pub memory: BTreeMap<String, u64>,
}

/// What one operation took, counted by who did it (`shim`, `spawner`, or the new `process` until its `execve`), and by the
/// name of the system call or of the function that the instructions are in.
pub type Operation = BTreeMap<String, BTreeMap<String, u64>>;
