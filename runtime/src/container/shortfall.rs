//! What the node's policy gives a container and could not: told, and no reason to refuse it.

use crate::error::Error;

/// One thing that a container goes without.
#[derive(Debug)]
pub struct Shortfall {
    /// What follows for the container.
    pub consequence: &'static str,
    /// Why.
    pub error: Error,
}
