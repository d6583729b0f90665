//! The priority of a cgroup's packets on mainline: a program of type `BPF_PROG_TYPE_CGROUP_SKB` that runs for each packet which a socket
//! of the cgroup sends, and sets what qdiscs and their filters go by. It is only made here; loading and attaching it takes `bpf(2)`.
//!
//! A packet's mark is touched in the bits that the node's owner set aside, and in no others: on a node they belong to kube-proxy and
//! the network plugin.

use crate::bpf::{BpfInstruction, Register};

use super::level::Level;
use super::packet_mark::PacketMark;

/// `r0`: what the program returns.
const VERDICT: Register = Register(0);
/// `r1`: the context, `struct __sk_buff`.
const PACKET: Register = Register(1);
const VALUE: Register = Register(2);

/// Of `mark` in `struct __sk_buff`, in bytes.
const MARK_OFFSET: i16 = 8;
/// Of `priority` in `struct __sk_buff`, in bytes.
const PRIORITY_OFFSET: i16 = 32;

/// Lets the packet go.
const PASS: i32 = 1;

/// `skb->priority` by level, as `TC_PRIO_*` (`linux/pkt_sched.h`): the default map of `pfifo_fast` and `prio` puts 6 into
/// the first band, 4 and 0 into the second, and 2 and 1 into the last. What the socket itself asked for (`SO_PRIORITY`) does not count.
const PRIORITIES: [i32; 8] = [
    6, // interactive
    4, // interactive bulk
    0, // best effort
    0, 0, //
    2, // bulk
    2, 1, // filler
];

/// What becomes of a cgroup's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketTreatment {
    /// Whose priority they get.
    pub priority: Option<Level>,
    /// What their mark becomes.
    pub mark: Option<PacketMark>,
}

/// The program that does it to each packet.
#[must_use]
pub fn packet_program(treatment: &PacketTreatment) -> Vec<BpfInstruction> {
    let mut program = Vec::new();
    if let Some(level) = treatment.priority {
        let priority = PRIORITIES.get(usize::from(level.number())).copied().unwrap_or_default();
        program.extend([
            BpfInstruction::move_constant(VALUE, priority),
            BpfInstruction::store_word(PACKET, PRIORITY_OFFSET, VALUE),
        ]);
    }
    if let Some(PacketMark { value, mask }) = treatment.mark {
        program.extend([
            BpfInstruction::load_word(VALUE, PACKET, MARK_OFFSET),
            BpfInstruction::and(VALUE, (!mask).cast_signed()),
            BpfInstruction::or(VALUE, value.cast_signed()),
            BpfInstruction::store_word(PACKET, MARK_OFFSET, VALUE),
        ]);
    }
    program.extend([BpfInstruction::move_constant(VERDICT, PASS), BpfInstruction::exit()]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The band of `pfifo_fast` for each `skb->priority` (`net/sched/sch_generic.c`).
    const BANDS: [u8; 16] = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

    #[test]
    fn a_higher_level_is_never_in_a_later_band() {
        let band = |level: Level| BANDS[usize::try_from(PRIORITIES[usize::from(level.number())]).unwrap()];
        let bands: Vec<u8> = Level::ALL.into_iter().map(band).collect();
        assert!(bands.is_sorted(), "{bands:?}");
        assert_eq!((bands[0], bands[3], bands[7]), (0, 1, 2));
    }

    fn bytes(treatment: PacketTreatment) -> Vec<u8> {
        packet_program(&treatment).into_iter().flat_map(BpfInstruction::to_bytes).collect()
    }

    #[test]
    fn the_program_stores_the_priority_and_passes_the_packet() {
        let expected = [
            [0xb7, 0x02, 0, 0, 6, 0, 0, 0],  // r2 = 6
            [0x63, 0x21, 32, 0, 0, 0, 0, 0], // *(u32 *)(r1 + 32) = r2
            [0xb7, 0x00, 0, 0, 1, 0, 0, 0],  // r0 = 1
            [0x95, 0x00, 0, 0, 0, 0, 0, 0],  // exit
        ];
        let treatment = PacketTreatment { priority: Some(Level::ONLINE), mark: None };
        assert_eq!(bytes(treatment), expected.concat());
    }

    #[test]
    fn the_program_changes_the_bits_of_the_mask_alone() {
        let expected = [
            [0x61, 0x12, 8, 0, 0, 0, 0, 0],             // r2 = *(u32 *)(r1 + 8)
            [0x54, 0x02, 0, 0, 0x0f, 0xff, 0xff, 0xff], // w2 &= 0xffffff0f
            [0x44, 0x02, 0, 0, 0x20, 0, 0, 0],          // w2 |= 0x20
            [0x63, 0x21, 8, 0, 0, 0, 0, 0],             // *(u32 *)(r1 + 8) = r2
            [0xb7, 0x00, 0, 0, 1, 0, 0, 0],             // r0 = 1
            [0x95, 0x00, 0, 0, 0, 0, 0, 0],             // exit
        ];
        let mark = Some(PacketMark { value: 0x20, mask: 0xf0 });
        assert_eq!(bytes(PacketTreatment { priority: None, mark }), expected.concat());
    }
}
