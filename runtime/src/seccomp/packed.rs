//! A program on its way to the spawner: the bytes that the kernel takes, instead of a number at a time. The two sides are the
//! same binary, so the machine's own byte order will do.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

use crate::sys::Instruction;

const INSTRUCTION_BYTES: usize = 8;

pub(super) fn serialize<S: Serializer>(program: &[Instruction], serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(program.len() * INSTRUCTION_BYTES);
    for Instruction { code, jt, jf, k } in program {
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&[*jt, *jf]);
        bytes.extend_from_slice(&k.to_ne_bytes());
    }
    serializer.serialize_bytes(&bytes)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Instruction>, D::Error> {
    deserializer.deserialize_bytes(Bytes)
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<Instruction>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("instructions of eight bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let (instructions, rest) = bytes.as_chunks::<INSTRUCTION_BYTES>();
        if !rest.is_empty() {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(instructions.iter().map(instruction).collect())
    }
}

fn instruction(&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; INSTRUCTION_BYTES]) -> Instruction {
    Instruction { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Filter, Flags};

    #[test]
    fn a_program_arrives_as_it_was_sent_and_as_long_as_it_is() {
        let program = vec![
            Instruction { code: 0x20, jt: 0, jf: 0, k: 4 },
            Instruction { code: 0x15, jt: 1, jf: 255, k: 0xc000_003e },
            Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 },
        ];
        let filter = Filter { program, flags: Flags::default(), notify: None, unknown_syscalls: Vec::new() };
        let sent = postcard::to_stdvec(&filter).unwrap();
        assert_eq!(postcard::from_bytes::<Filter>(&sent).unwrap(), filter);
        assert!(sent.len() < 3 * INSTRUCTION_BYTES + 8, "{}", sent.len());
    }

    #[test]
    fn half_an_instruction_is_refused() {
        assert!(Bytes.visit_bytes::<serde::de::value::Error>(&[0; 12]).is_err());
    }
}
