//! A profile's identity by content, for a cache of compiled programs.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufWriter, Write};

use oci_spec::runtime::LinuxSeccomp;

use super::error::Error;

/// Equal for equal profiles, and for unequal ones with a chance of 2^-128. Stable within one build of the program only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProfileKey([u64; 2]);

impl ProfileKey {
    /// The key of `profile`, over everything in it.
    ///
    /// # Errors
    /// [`Error::Key`] when the listener's path is not Unicode.
    pub fn new(profile: &LinuxSeccomp) -> Result<Self, Error> {
        let mut halves = Halves([DefaultHasher::new(), DefaultHasher::new()]);
        // Two SipHashes of different texts: the second has a byte more in front.
        halves.0[1].write_u8(1);
        // The text comes in pieces of a few bytes, which a hasher takes much longer for.
        let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, &mut halves);
        serde_json::to_writer(&mut buffer, profile).map_err(Error::Key)?;
        buffer.flush().map_err(|error| Error::Key(serde_json::Error::io(error)))?;
        drop(buffer);
        Ok(Self(halves.0.map(|half| half.finish())))
    }
}

const BUFFER_BYTES: usize = 1024;

struct Halves([DefaultHasher; 2]);

impl io::Write for Halves {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for half in &mut self.0 {
            half.write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
