//! The priority of a cgroup's packets on mainline: a program of type `BPF_PROG_TYPE_CGROUP_SKB` that runs for each packet which a socket
//! of the cgroup sends, and sets what qdiscs go by. It is only made here; loading and attaching it takes `bpf(2)`.
//!
//! The packet's mark is left alone: on a node it belongs to kube-proxy and the network plugin.

use crate::bpf::{BpfInstruction, Register};

use super::level::Level;

/// `r0`: what the program returns.
const VERDICT: Register = Register(0);
/// `r1`: the context, `struct __sk_buff`.
const PACKET: Register = Register(1);
const PRIORITY: Register = Register(2);

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

/// The program that gives each packet of a cgroup what its level is worth.
#[must_use]
pub fn packet_program(level: Level) -> Vec<BpfInstruction> {
    let priority = PRIORITIES.get(usize::from(level.number())).copied().unwrap_or_default();
    vec![
        BpfInstruction::move_constant(PRIORITY, priority),
        BpfInstruction::store_word(PACKET, PRIORITY_OFFSET, PRIORITY),
        BpfInstruction::move_constant(VERDICT, PASS),
        BpfInstruction::exit(),
    ]
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

    #[test]
    fn the_program_stores_the_priority_and_passes_the_packet() {
        let bytes: Vec<u8> =
            packet_program(Level::ONLINE).into_iter().flat_map(BpfInstruction::to_bytes).collect();
        let expected = [
            [0xb7, 0x02, 0, 0, 6, 0, 0, 0],  // r2 = 6
            [0x63, 0x21, 32, 0, 0, 0, 0, 0], // *(u32 *)(r1 + 32) = r2
            [0xb7, 0x00, 0, 0, 1, 0, 0, 0],  // r0 = 1
            [0x95, 0x00, 0, 0, 0, 0, 0, 0],  // exit
        ];
        assert_eq!(bytes, expected.concat());
    }
}
