//! `bpf(2)`: loads programs, attaches them to cgroups and takes them off.

use super::checked;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// What a program is for, and where on a cgroup it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CgroupProgram {
    /// Decides about opening and making device nodes.
    Device,
    /// Sees each packet that a socket of the cgroup sends.
    Egress,
}

impl CgroupProgram {
    /// `BPF_PROG_TYPE_CGROUP_DEVICE`, `BPF_PROG_TYPE_CGROUP_SKB`.
    const fn program_type(self) -> u32 {
        match self {
            Self::Device => 15,
            Self::Egress => 8,
        }
    }

    /// `BPF_CGROUP_DEVICE`, `BPF_CGROUP_INET_EGRESS`.
    const fn attach_type(self) -> u32 {
        match self {
            Self::Device => 6,
            Self::Egress => 1,
        }
    }
}

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes what is missing as zero.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    program_flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches a loaded program to `cgroup`, beside programs that others attached. It stays until it is detached or the cgroup is gone,
/// whatever becomes of the descriptor.
pub(crate) fn attach_program(
    cgroup: BorrowedFd<'_>,
    kind: CgroupProgram,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    change_attachment(BPF_PROG_ATTACH, cgroup, kind, program, BPF_F_ALLOW_MULTI)
}

/// Takes a program off `cgroup`.
pub(crate) fn detach_program(
    cgroup: BorrowedFd<'_>,
    kind: CgroupProgram,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    change_attachment(BPF_PROG_DETACH, cgroup, kind, program, 0)
}

fn change_attachment(
    command: libc::c_long,
    cgroup: BorrowedFd<'_>,
    kind: CgroupProgram,
    program: BorrowedFd<'_>,
    flags: u32,
) -> Result<(), Errno> {
    let attributes = AttachAttributes {
        target: cgroup.as_raw_fd().unsigned_abs(),
        program: program.as_raw_fd().unsigned_abs(),
        attach_type: kind.attach_type(),
        flags,
    };
    // SAFETY: `attributes` is a live local of the size that is passed; the kernel copies it.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<AttachAttributes>())
    };
    checked(result).map(drop)
}

/// Loads `instructions` (eight bytes each, as `struct bpf_insn`). A program that is attached to nothing goes with its descriptor.
pub(crate) fn load_program(kind: CgroupProgram, instructions: &[u64]) -> Result<OwnedFd, Errno> {
    let attributes = LoadAttributes {
        program_type: kind.program_type(),
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        program_flags: 0,
        // As tools list it.
        name: *b"ballast\0\0\0\0\0\0\0\0\0",
        interface: 0,
        expected_attach_type: kind.attach_type(),
    };
    // SAFETY: the instructions and the static licence string outlive the call; the kernel copies and verifies them.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>())
    };
    let descriptor = i32::try_from(checked(result)?).map_err(|_| Errno::RANGE)?;
    // SAFETY: a successful load returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
pub(crate) mod query {
    //! What tests ask about attached programs.

    use super::*;

    const BPF_PROG_QUERY: libc::c_long = 16;

    /// The part for `BPF_PROG_QUERY`, with room for what newer kernels write behind it.
    #[repr(C)]
    #[derive(Default)]
    struct QueryAttributes {
        target: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        program_ids: u64,
        program_count: u32,
        later: [u32; 25],
    }

    /// How many programs are attached to `cgroup` itself.
    pub(crate) fn attached_programs(cgroup: BorrowedFd<'_>, kind: CgroupProgram) -> Result<u32, Errno> {
        let mut attributes = QueryAttributes {
            target: cgroup.as_raw_fd().unsigned_abs(),
            attach_type: kind.attach_type(),
            ..QueryAttributes::default()
        };
        // SAFETY: `attributes` is a live local of the size that is passed; the kernel writes the count and flags into it.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attributes, size_of::<QueryAttributes>())
        };
        checked(result).map(|_| attributes.program_count)
    }
}
