//! TODO
pub mod seccomp;
