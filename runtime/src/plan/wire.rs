//! The plan: everything that the new process does, decided before anything is touched.
//!
//! Plain data that travels to the spawner. Paths are C strings already, ids are the kernel's, descriptors are positions in
//! the list that travels along. Nothing here is parsed, looked up or defaulted any more: the process only executes it.

use crate::proc_view::ViewFile;
use crate::seccomp::Filter;
use crate::sys::{MountAttributes, SchedulerAttributes};
use serde::{Deserialize, Serialize};
use std::ffi::CString;

/// Position of a descriptor in the list that travels beside the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor(pub(crate) usize);

/// A container's first process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InitPlan {
    pub(crate) namespaces: NamespacePlan,
    pub(crate) rootfs: RootfsPlan,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) proc_view: Option<ProcViewPlan>,
    pub(crate) masked_paths: Vec<CString>,
    pub(crate) readonly_paths: Vec<CString>,
    /// Files below `/proc/sys` and what to write.
    pub(crate) sysctls: Vec<Sysctl>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) hooks: HookPlan,
    pub(crate) process: ProcessPlan,
}

/// One more process in a container that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecPlan {
    /// A process of the container; its namespaces are joined by this pidfd.
    pub(crate) target: Descriptor,
    /// `CLONE_NEW*` bits of the namespaces to join.
    pub(crate) namespaces: u32,
    /// The pid namespace to be born in, when it is not the shim's.
    pub(crate) pid_namespace: Option<Descriptor>,
    /// For `/proc/self/oom_score_adj`.
    pub(crate) oom_score_adjustment: Option<i32>,
    pub(crate) process: ProcessPlan,
}

/// A change of what a running container is shown, made by a process that ends with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ViewChangePlan {
    /// A process of the container; its mount namespace is joined by this pidfd.
    pub(crate) target: Descriptor,
    pub(crate) change: ViewChange,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ViewChange {
    /// Take off what covers the kernel's files.
    Uncover(Vec<CoverPlan>),
    /// Cover them again.
    Cover(ProcViewPlan),
}

/// A mount of a view.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CoverPlan {
    pub(crate) path: CString,
    /// Major and minor number of the file system that is mounted there.
    pub(crate) device: (u32, u32),
}

/// Where the process lives.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct NamespacePlan {
    /// The user namespace to live in; new ones are made and mapped beforehand.
    pub(crate) user: Option<Descriptor>,
    /// The pid namespace to be born in. A process cannot change its own, so whoever clones it enters this one first.
    pub(crate) pid: Option<Descriptor>,
    /// Namespaces that the process joins: `CLONE_NEW*` bit and descriptor.
    pub(crate) join: Vec<(u32, Descriptor)>,
    /// `CLONE_NEW*` bits of namespaces made by the clone itself.
    pub(crate) new: u32,
    /// A new cgroup namespace, which takes its root from the cgroup the process is already in.
    pub(crate) new_cgroup: bool,
    /// A new time namespace with the lines for `timens_offsets`; its first process is the one after the next `execve`.
    pub(crate) new_time: Option<String>,
}

/// The container's root file system, a detached tree until it becomes the root.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RootfsPlan {
    pub(crate) tree: Descriptor,
    /// Where the tree is attached in the new mount namespace before it becomes `/`.
    pub(crate) path: CString,
    pub(crate) readonly: bool,
    /// `MS_SLAVE`, `MS_PRIVATE` or `MS_SHARED`, with which the host's mounts reach the container.
    pub(crate) propagation: u64,
}

/// One mount below the rootfs, in the order of the spec.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    pub(crate) destination: CString,
    pub(crate) source: MountSource,
    /// What remains to be set once it is attached.
    pub(crate) attributes: MountAttributes,
    pub(crate) recursive_attributes: MountAttributes,
}

/// What is mounted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum MountSource {
    /// A tree that is prepared, attributes and all. `directory` says what to make when the destination is missing.
    Tree { tree: Descriptor, directory: bool },
    /// A new instance of a file system: made in the container's namespaces, which decide what it shows.
    Filesystem {
        kind: CString,
        source: CString,
        /// `MS_*` bits.
        flags: u64,
        data: CString,
        /// The destination must not be reached through a symbolic link: procfs and sysfs are trusted later by their path.
        refuse_symlinks: bool,
        /// Copy what the image has at the destination into the new tmpfs.
        copy_up: bool,
    },
    /// The cgroup hierarchy, as seen from the container's cgroup namespace.
    Cgroup { flags: u64, data: CString },
}

/// The container's own view below `/proc` and `/sys`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcViewPlan {
    /// The name of the container's directory in both of the following trees.
    pub(crate) directory: CString,
    /// Files of `/proc` by their names, and which of them are to be shown.
    pub(crate) live: Option<(Descriptor, Vec<ViewFile>)>,
    /// What changes only on an update, and what of it is to be shown.
    pub(crate) lasting: Option<(Descriptor, LastingPlan)>,
    /// Further files, each a tree of its own, and where below `/proc` it goes.
    pub(crate) trees: Vec<(Descriptor, CString)>,
}

/// What is shown of that which changes only on an update.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LastingPlan {
    /// `/proc/cpuinfo`
    pub(crate) cpuinfo: bool,
    /// All of `/sys/devices/system/cpu`
    pub(crate) cpus: bool,
}

/// One node below `/dev`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DevicePlan {
    pub(crate) path: CString,
    pub(crate) node: DeviceNode,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum DeviceNode {
    /// `mode` has the type bits as well; `number` is major and minor, `owner` uid and gid.
    Make { mode: u32, number: (u32, u32), owner: (u32, u32) },
    /// The host's node, for user namespaces, where the kernel lets nobody make one.
    Bind { tree: Descriptor },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    /// Relative to `/proc/sys`, for example `net/ipv4/ip_forward`.
    pub(crate) path: CString,
    pub(crate) value: String,
}

/// Hooks that run inside the container's namespaces, with the state that they read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct HookPlan {
    /// The runtime has hooks of its own to run before the root changes; wait for it.
    pub(crate) wait_for_runtime: bool,
    pub(crate) create_container: Vec<crate::hooks::Hook>,
    pub(crate) start_container: Vec<crate::hooks::Hook>,
    pub(crate) state: crate::hooks::State,
}

/// The program and who it runs as; the same for a container's first process and an exec.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) working_directory: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) umask: Option<u32>,
    pub(crate) capabilities: Capabilities,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) no_new_privileges: bool,
    /// Security label to take on with `execve`: file below `/proc/thread-self/attr` and its content.
    pub(crate) labels: Vec<ExecLabel>,
    /// Loaded before the other, which may refuse that; its listener travels to the shim.
    pub(crate) sysinfo: Option<Filter>,
    pub(crate) seccomp: Option<Filter>,
    pub(crate) session_keyring: Option<CString>,
    pub(crate) personality: Option<u32>,
    pub(crate) io_priority: Option<u32>,
    pub(crate) scheduler: Option<SchedulerAttributes>,
    pub(crate) scheduling: Scheduling,
    /// CPU numbers to run on after `execve` (`execCPUAffinity.final`).
    pub(crate) cpu_affinity: Vec<usize>,
    pub(crate) stdio: StdioPlan,
}

/// What the container's priority asks of the scheduler for each of its processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scheduling {
    /// How long a slice of an ordinary task is.
    pub(crate) time_slice_nanoseconds: Option<u64>,
    /// Which tasks may run beside it on a core's other hardware threads.
    pub(crate) core: Option<CoreCookie>,
}

/// Where the cookie of core scheduling comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CoreCookie {
    /// A new one.
    Create,
    /// From the process with this number in the pid namespace of the new one.
    ShareFrom(u32),
}

/// Sets as bits, capability number `n` being bit `n`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rlimit {
    /// `RLIMIT_*`.
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecLabel {
    /// Relative to `/proc/thread-self/attr`.
    pub(crate) file: CString,
    pub(crate) content: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StdioPlan {
    /// Standard input, output and error.
    Streams([Descriptor; 3]),
    /// A pty of the container's devpts, this many rows and columns when the spec says so.
    Terminal { size: Option<(u16, u16)> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Plan {
    Init(Box<InitPlan>),
    Exec(Box<ExecPlan>),
    ViewChange(Box<ViewChangePlan>),
}
