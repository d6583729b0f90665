//! Which device nodes a cgroup's processes may make and open: the rules, and their translation to a program of type
//! `BPF_PROG_TYPE_CGROUP_DEVICE`. It is only made here; loading and attaching it takes `bpf(2)`.

mod program;
mod rule;

pub use rule::DevicePolicy;
