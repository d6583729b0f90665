//! The machines Ballast runs on and the architectures whose syscalls each can make. Knows no profile.

use oci_spec::runtime::Arch;

/// A kind of machine: what its kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Makes x86_64, x32 and x86 syscalls.
    X86_64,
    /// Makes aarch64 and arm syscalls.
    Aarch64,
}

impl Machine {
    /// The machine this is compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const HERE: Self = Self::X86_64;
    /// The machine this is compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const HERE: Self = Self::Aarch64;

    /// The architecture of the machine's own programs, which is in every filter.
    pub(super) fn native(self) -> Architecture {
        match self {
            Self::X86_64 => Architecture::X86_64,
            Self::Aarch64 => Architecture::Aarch64,
        }
    }

    /// All whose syscalls this machine can make, the native one first.
    pub(super) fn architectures(self) -> Vec<Architecture> {
        match self {
            Self::X86_64 => vec![Architecture::X86_64, Architecture::X86, Architecture::X32],
            Self::Aarch64 => vec![Architecture::Aarch64, Architecture::Arm],
        }
    }

    /// The architecture of an OCI name; `None` for one whose syscalls cannot occur on this machine.
    pub(super) fn architecture(self, name: Arch) -> Option<Architecture> {
        match (self, name) {
            (_, Arch::ScmpArchNative) => Some(self.native()),
            (Self::X86_64, Arch::ScmpArchX86_64) => Some(Architecture::X86_64),
            (Self::X86_64, Arch::ScmpArchX86) => Some(Architecture::X86),
            (Self::X86_64, Arch::ScmpArchX32) => Some(Architecture::X32),
            (Self::Aarch64, Arch::ScmpArchAarch64) => Some(Architecture::Aarch64),
            (Self::Aarch64, Arch::ScmpArchArm) => Some(Architecture::Arm),
            _ => None,
        }
    }
}

/// A set of syscall numbers. The values are the columns of the syscall table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

/// How much of an argument a syscall gets, and so how much of it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Bits32,
    Bits64,
}

/// In the number of every x32 syscall (`__X32_SYSCALL_BIT`), whose audit architecture is that of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// 32-bit ARM's private calls start here (`__ARM_NR_BASE`), far above the numbers that grow.
const ARM_PRIVATE: u32 = 0x000f_0000;

impl Architecture {
    pub(super) const COUNT: usize = 5;

    /// `AUDIT_ARCH_*` of `linux/audit.h`, as the kernel gives it to a filter.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The one with these syscall numbers; x32's are x86_64's to the kernel.
    pub(crate) fn of_audit(audit: u32) -> Option<Self> {
        [Self::X86_64, Self::X86, Self::Aarch64, Self::Arm].into_iter().find(|known| known.audit() == audit)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    pub(super) fn width(self) -> Width {
        match self {
            Self::X86_64 | Self::Aarch64 => Width::Bits64,
            Self::X86 | Self::X32 | Self::Arm => Width::Bits32,
        }
    }

    /// The lowest number that reaches this architecture's part of a program.
    pub(super) fn first_number(self) -> u32 {
        if self == Self::X32 { X32_BIT } else { 0 }
    }

    /// The first number that is not one of those to which each kernel release appends.
    pub(super) fn private_numbers(self) -> Option<u32> {
        (self == Self::Arm).then_some(ARM_PRIVATE)
    }
}
