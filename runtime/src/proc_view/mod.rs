//! What a container sees of its machine below `/proc` and `/sys/devices/system/cpu`: its own share instead of the host's.
//!
//! [`figures`] are a container's numbers, [`render`] turns them into the kernel's texts. Both are pure; they must not know
//! where numbers come from, nor how a text reaches a reader.

pub mod figures;
pub mod render;
