//! What is fuzzed, apart from who makes the inputs: libFuzzer (`fuzz_targets/`, with `cargo fuzz run NAME`), or a generator of a
//! bounded number of inputs on any toolchain (`tests/bounded.rs`).
//!
//! The configuration and runtime options are not here but in property tests of the shim (`shim/src/config/properties.rs`): with the
//! shim a target would build containerd's interfaces, for which `protoc` is needed.
//!
//! To add a target: an input type with a [`Target`] in one of the modules here, its name in [`TARGETS`], a `[[bin]]` in `Cargo.toml` and
//! two lines in `fuzz_targets/`, as the others have. A test says what is missing.
#![forbid(unsafe_code)]

mod annotations;
mod figures;
mod render;
mod texts;
mod values;

use arbitrary::{Arbitrary, Unstructured};

pub use annotations::Annotations;
pub use figures::Figures;
pub use render::{CpuLists, Cpuinfo, Diskstats, Loadavg, Meminfo, Slabinfo, Stat, Swaps, Uptime, Vmstat};
pub use texts::{CgroupPath, MemoryAmount, PriorityLevel};

/// An input, and what must be so of it.
pub trait Target: for<'a> Arbitrary<'a> {
    /// Panics when it is not so.
    fn check(self);
}

/// A target that takes bytes.
type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Check)] = &[
    ("annotations", check::<Annotations>),
    ("cgroup_path", check::<CgroupPath>),
    ("cpu_lists", check::<CpuLists>),
    ("cpuinfo", check::<Cpuinfo>),
    ("diskstats", check::<Diskstats>),
    ("figures", check::<Figures>),
    ("loadavg", check::<Loadavg>),
    ("meminfo", check::<Meminfo>),
    ("memory_amount", check::<MemoryAmount>),
    ("priority_level", check::<PriorityLevel>),
    ("slabinfo", check::<Slabinfo>),
    ("stat", check::<Stat>),
    ("swaps", check::<Swaps>),
    ("uptime", check::<Uptime>),
    ("vmstat", check::<Vmstat>),
];

/// Checks the input that libFuzzer would make of these bytes, if it makes one.
fn check<T: Target>(bytes: &[u8]) {
    if let Ok(input) = T::arbitrary_take_rest(Unstructured::new(bytes)) {
        input.check();
    }
}
