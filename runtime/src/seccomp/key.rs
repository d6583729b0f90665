//! A profile's identity by its text, for a cache of compiled programs.

use std::hash::{DefaultHasher, Hasher};

/// Equal for equal texts, and for unequal ones with a chance of 2^-128. That holds for texts that nobody chose to be equal: the
/// hash has no secret, and profiles are the node's, never a container's. Stable within one build of the program only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProfileKey([u64; 2]);

impl ProfileKey {
    /// The key of the profile that is spelt like this.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut halves = [DefaultHasher::new(), DefaultHasher::new()];
        // Two SipHashes of different texts: the second has a byte more in front.
        halves[1].write_u8(1);
        for half in &mut halves {
            half.write(text.as_bytes());
        }
        Self(halves.map(|half| half.finish()))
    }
}
