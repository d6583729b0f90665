//! `struct sysinfo` in bytes, by the caller's ABI (Linux `include/uapi/linux/sysinfo.h`, `kernel/sys.c`). Pure.

use super::SystemInfo;
use crate::seccomp::Architecture;

/// Which of the two forms a caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    /// With longs of 64 bits: `x86_64`, x32 (whose longs are the kernel's in this structure) and aarch64.
    Wide,
    /// With longs of 32 bits, `struct compat_sysinfo`: i386 and 32-bit ARM.
    Compat,
}

/// The larger of the two.
const BYTES_MAX: usize = 112;

/// A structure as it goes to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl AsRef<[u8]> for Structure {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Abi {
    /// That of a call's `AUDIT_ARCH_*`; `None` for an architecture that this machine has not.
    #[must_use]
    pub fn of(audit_architecture: u32) -> Option<Self> {
        match Architecture::of_audit(audit_architecture)? {
            Architecture::X86_64 | Architecture::X32 | Architecture::Aarch64 => Some(Self::Wide),
            Architecture::X86 | Architecture::Arm => Some(Self::Compat),
        }
    }
}

impl SystemInfo {
    /// The structure of an ABI. `page_bytes` is the unit in which a 32-bit caller gets sizes that it could not hold.
    #[must_use]
    pub fn structure(&self, abi: Abi, page_bytes: u64) -> Structure {
        match abi {
            Abi::Wide => self.wide(),
            Abi::Compat => self.compat(page_bytes),
        }
    }

    /// The six sizes in the structure's order.
    fn sizes(&self) -> [u64; 6] {
        [self.total, self.free, self.shared, self.buffers, self.swap_total, self.swap_free]
    }

    fn wide(&self) -> Structure {
        let mut out = Writer::default();
        out.long(self.uptime_s);
        self.loads.into_iter().chain(self.sizes()).for_each(|number| out.long(number));
        out.put(&self.tasks.to_ne_bytes());
        out.skip(6);
        // No memory is high.
        out.skip(16);
        out.put(&1u32.to_ne_bytes());
        out.skip(4);
        out.finish()
    }

    /// `COMPAT_SYSCALL_DEFINE1(sysinfo)`: if memory or swap as a whole does not fit, everything is in pages.
    fn compat(&self, page_bytes: u64) -> Structure {
        let fits = (self.total | self.swap_total) >> 32 == 0;
        let unit = if fits { 1 } else { page_bytes.max(1) };
        let mut out = Writer::default();
        out.word(self.uptime_s);
        self.loads.into_iter().for_each(|load| out.word(load));
        self.sizes().into_iter().for_each(|size| out.word(size / unit));
        out.put(&self.tasks.to_ne_bytes());
        out.skip(2);
        out.skip(8);
        out.word(unit);
        out.skip(8);
        out.finish()
    }
}

/// Bytes that begin as zeros.
struct Writer(Structure);

impl Default for Writer {
    fn default() -> Self {
        Self(Structure { bytes: [0; BYTES_MAX], length: 0 })
    }
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.0.length + bytes.len();
        if let Some(place) = self.0.bytes.get_mut(self.0.length..end) {
            place.copy_from_slice(bytes);
        }
        self.0.length = end;
    }

    fn skip(&mut self, count: usize) {
        self.0.length += count;
    }

    fn long(&mut self, number: u64) {
        self.put(&number.to_ne_bytes());
    }

    /// Cut to 32 bits, as the kernel does.
    fn word(&mut self, number: u64) {
        self.put(&(number as u32).to_ne_bytes());
    }

    fn finish(self) -> Structure {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    /// `struct sysinfo` and `struct compat_sysinfo`, as a reader of the bytes takes them apart.
    #[derive(Debug, PartialEq, Eq)]
    struct Read {
        uptime: u64,
        loads: [u64; 3],
        sizes: [u64; 6],
        tasks: u16,
        high: [u64; 2],
        unit: u64,
    }

    fn read(structure: &Structure, long: usize) -> Read {
        let bytes = structure.as_ref();
        let number = |at: usize, width: usize| {
            let mut word = [0; 8];
            word[..width].copy_from_slice(&bytes[at..at + width]);
            u64::from_ne_bytes(word)
        };
        let longs = |first: usize| move |index: usize| number((first + index) * long, long);
        // procs and pad are two shorts, then a long begins on a boundary of its own.
        let after = if long == 8 { 11 * 8 } else { 10 * 4 + 4 };
        Read {
            uptime: number(0, long),
            loads: [0, 1, 2].map(longs(1)),
            sizes: [0, 1, 2, 3, 4, 5].map(longs(4)),
            tasks: number(10 * long, 2) as u16,
            high: [number(after, long), number(after + long, long)],
            unit: number(after + 2 * long, 4),
        }
    }

    fn info() -> SystemInfo {
        SystemInfo {
            uptime_s: 77,
            loads: [1, 2, 3],
            total: 3 << 30,
            free: 1 << 30,
            shared: 5 << 20,
            buffers: 6 << 20,
            swap_total: 1 << 30,
            swap_free: 1 << 29,
            tasks: 9,
        }
    }

    #[test]
    fn both_forms_have_the_kernels_length() {
        assert_eq!(info().structure(Abi::Wide, PAGE).as_ref().len(), size_of::<libc::sysinfo>());
        assert_eq!(info().structure(Abi::Compat, PAGE).as_ref().len(), 64);
    }

    #[test]
    fn both_forms_hold_the_same_while_it_fits() {
        let (wide, compat) = (info().structure(Abi::Wide, PAGE), info().structure(Abi::Compat, PAGE));
        assert_eq!(read(&wide, 8), read(&compat, 4));
        assert_eq!(read(&wide, 8).unit, 1);
    }

    #[test]
    fn what_a_32_bit_caller_could_not_hold_is_in_pages_all_of_it() {
        let large = SystemInfo { total: 64 << 30, ..info() };
        let compat = read(&large.structure(Abi::Compat, PAGE), 4);
        assert_eq!(
            (compat.unit, compat.sizes[0], compat.sizes[1]),
            (PAGE, (64 << 30) / PAGE, (1 << 30) / PAGE)
        );
        let much_swap = SystemInfo { swap_total: 1 << 32, ..info() };
        let compat = read(&much_swap.structure(Abi::Compat, PAGE), 4);
        assert_eq!((compat.unit, compat.sizes[4]), (PAGE, (1 << 32) / PAGE));
        assert_eq!(read(&large.structure(Abi::Wide, PAGE), 8).unit, 1);
    }

    #[test]
    fn the_abi_is_the_calls() {
        let audits = [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 0x8000_0016];
        let expected = [Some(Abi::Wide), Some(Abi::Compat), Some(Abi::Wide), Some(Abi::Compat), None];
        assert_eq!(audits.map(Abi::of), expected);
    }

    proptest! {
        #[test]
        fn a_32_bit_callers_product_is_the_size_to_the_page(
            total in any::<u32>(), pages in 0u64..1 << 32, swap in 0u64..1 << 40
        ) {
            for total in [u64::from(total), pages * PAGE] {
                let info = SystemInfo { total, free: total / 2, swap_total: swap, ..info() };
                let compat = read(&info.structure(Abi::Compat, PAGE), 4);
                prop_assert!(total - compat.sizes[0] * compat.unit < compat.unit);
                prop_assert!(total / 2 - compat.sizes[1] * compat.unit < compat.unit);
                prop_assert!(swap - compat.sizes[4] * compat.unit < compat.unit);
            }
        }
    }
}
