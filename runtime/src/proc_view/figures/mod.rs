//! A container's numbers: what it may use, what it uses, since when. Pure arithmetic that saturates, because the kernel's
//! files are read one after the other and need not agree. Must not know files or layouts.

mod cpu;
mod cpu_time;
mod keyed;
mod load;
mod memory;

pub use ballast_cgroups::CpuList;
pub use cpu::{CpuQuota, CpuShare, Rounding};
pub use cpu_time::{CpuClock, CpuSample, CpuTimes};
pub use keyed::Keyed;
pub use load::LoadAverage;
pub use memory::{HostMemory, Memory, MemoryLevel};
