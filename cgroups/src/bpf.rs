//! The eBPF instructions that the programs on cgroups need, in the kernel's encoding (kernel documentation,
//! "BPF Instruction Set Architecture"). Knows no program.

/// One instruction, laid out as `struct bpf_insn` on the little-endian machines that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BpfInstruction {
    /// Operation, source mode and class.
    pub code: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub registers: u8,
    /// Jump distance in instructions, or offset of a load or a store in bytes.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

/// A register by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u8);

pub(crate) mod code {
    //! Class, size or operation, and mode, or-ed together as in `linux/bpf.h`.

    /// `BPF_LDX | BPF_W | BPF_MEM`
    pub(crate) const LOAD_WORD: u8 = 0x61;
    /// `BPF_STX | BPF_W | BPF_MEM`
    pub(crate) const STORE_WORD: u8 = 0x63;
    /// `BPF_ALU | BPF_MOV | BPF_X`
    pub(crate) const MOVE_REGISTER: u8 = 0xbc;
    /// `BPF_ALU64 | BPF_MOV | BPF_K`
    pub(crate) const MOVE_CONSTANT: u8 = 0xb7;
    /// `BPF_ALU | BPF_AND | BPF_K`
    pub(crate) const AND_CONSTANT: u8 = 0x54;
    /// `BPF_ALU | BPF_OR | BPF_K`
    pub(crate) const OR_CONSTANT: u8 = 0x44;
    /// `BPF_ALU | BPF_RSH | BPF_K`
    pub(crate) const SHIFT_RIGHT_CONSTANT: u8 = 0x74;
    /// `BPF_JMP | BPF_JA`
    pub(crate) const JUMP: u8 = 0x05;
    /// `BPF_JMP | BPF_JNE | BPF_K`
    pub(crate) const JUMP_IF_NOT_EQUAL: u8 = 0x55;
    /// `BPF_JMP | BPF_JSET | BPF_K`
    pub(crate) const JUMP_IF_ANY_SET: u8 = 0x45;
    /// `BPF_JMP | BPF_EXIT`
    pub(crate) const EXIT: u8 = 0x95;
}

impl BpfInstruction {
    pub(crate) const fn load_word(to: Register, base: Register, offset: i16) -> Self {
        Self { code: code::LOAD_WORD, registers: base.0 << 4 | to.0, offset, immediate: 0 }
    }

    pub(crate) const fn store_word(base: Register, offset: i16, from: Register) -> Self {
        Self { code: code::STORE_WORD, registers: from.0 << 4 | base.0, offset, immediate: 0 }
    }

    pub(crate) const fn move_register(to: Register, from: Register) -> Self {
        Self { code: code::MOVE_REGISTER, registers: from.0 << 4 | to.0, offset: 0, immediate: 0 }
    }

    pub(crate) const fn move_constant(to: Register, value: i32) -> Self {
        Self::with_constant(code::MOVE_CONSTANT, to, value)
    }

    pub(crate) const fn and(to: Register, value: i32) -> Self {
        Self::with_constant(code::AND_CONSTANT, to, value)
    }

    pub(crate) const fn or(to: Register, value: i32) -> Self {
        Self::with_constant(code::OR_CONSTANT, to, value)
    }

    pub(crate) const fn shift_right(to: Register, bits: i32) -> Self {
        Self::with_constant(code::SHIFT_RIGHT_CONSTANT, to, bits)
    }

    pub(crate) const fn jump(distance: i16) -> Self {
        Self { code: code::JUMP, registers: 0, offset: distance, immediate: 0 }
    }

    pub(crate) const fn jump_if_not_equal(register: Register, value: i32, distance: i16) -> Self {
        Self { offset: distance, ..Self::with_constant(code::JUMP_IF_NOT_EQUAL, register, value) }
    }

    pub(crate) const fn jump_if_any_set(register: Register, bits: i32, distance: i16) -> Self {
        Self { offset: distance, ..Self::with_constant(code::JUMP_IF_ANY_SET, register, bits) }
    }

    pub(crate) const fn exit() -> Self {
        Self { code: code::EXIT, registers: 0, offset: 0, immediate: 0 }
    }

    const fn with_constant(code: u8, register: Register, immediate: i32) -> Self {
        Self { code, registers: register.0, offset: 0, immediate }
    }

    /// The eight bytes that the kernel reads.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_ne_bytes();
        [self.code, self.registers, o0, o1, i0, i1, i2, i3]
    }
}
