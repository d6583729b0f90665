//! What a container sees of its machine below `/proc` and `/sys/devices/system/cpu`: its own share instead of the host's.
//!
//! [`figures`] are a container's numbers, [`render`] turns them into the kernel's texts; both are pure. `sample` reads the
//! numbers from the container's cgroup, and `serve` shows the texts as files, of which each container has its own mounted.

mod description;
pub mod figures;
mod file;
mod native;
mod policy;
pub mod render;
mod sample;
mod serve;
mod texts;
mod view;

pub use description::{Mechanism, Placement, ShownFile, ViewDescription};
pub use file::ViewFile;
pub(crate) use native::NativeViews;
pub use policy::{Containers, CpuView, Selection, UnknownFile, ViewPolicy};
pub(crate) use sample::{Epoch, Origin};
pub(crate) use serve::{CPU_INFO, CPUS, FuseMount, Permissions, look_all_up};
pub use texts::ViewCounters;
pub(crate) use texts::{ContainerTexts, ShownCpus, Texts};
pub(crate) use view::{View, Views};
