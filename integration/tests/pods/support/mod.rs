//! What the tests stand on. Knows crictl, procfs and cgroupfs; expects nothing of a runtime.

pub(crate) mod command;
pub(crate) mod container;
pub(crate) mod ctr;
pub(crate) mod footprint;
pub(crate) mod json;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod process;
pub(crate) mod terminal;
