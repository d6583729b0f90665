//! What the rules have to know about the node.

use crate::error::{Error, Result};
use std::path::Path;

/// A kernel's version, as far as it decides about anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// Before, a cgroup over `memory.high` could be kept from progress for ever (Linux 5.9, "mm, memcg: decouple
/// e{low,min} state mutations", KEP-2570, "Risks").
pub(super) const SAFE_THROTTLING: KernelVersion = KernelVersion { major: 5, minor: 9 };

impl KernelVersion {
    /// Reads what uname(2) calls the release: `6.1.0-18-amd64`, `5.10-rc3`.
    pub(super) fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(['.', '-', '+', '_']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// The node's facts. Reading them costs two system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// All of its memory, in bytes: what kubelet calls the capacity.
    pub capacity: u64,
    /// Size of a page, in bytes.
    pub page: u64,
    /// The running kernel.
    pub kernel: KernelVersion,
}

impl NodeFacts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When the kernel's release is not of a known form.
    pub fn read() -> Result<Self> {
        let information = rustix::system::sysinfo();
        let name = rustix::system::uname();
        let release = name.release().to_string_lossy();
        let kernel = KernelVersion::parse(&release)
            .ok_or_else(|| Error::format(Path::new("uname"), "release of the form 6.1.0", &release))?;
        #[expect(clippy::useless_conversion, reason = "its type differs by architecture")]
        let total = u64::from(information.totalram);
        Ok(Self {
            capacity: total.saturating_mul(u64::from(information.mem_unit)),
            page: u64::try_from(rustix::param::page_size()).unwrap_or(4096),
            kernel,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_kinds_are_read() {
        for (release, major, minor) in [
            ("6.1.0-18-amd64", 6, 1),
            ("5.4.119-19.0009.28", 5, 4),
            ("5.10-rc3", 5, 10),
            ("4.18.0+", 4, 18),
            ("7.2.7", 7, 2),
        ] {
            assert_eq!(KernelVersion::parse(release), Some(KernelVersion { major, minor }), "{release}");
        }
        assert_eq!(KernelVersion::parse("linux"), None);
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(KernelVersion { major: 5, minor: 10 } > SAFE_THROTTLING);
        assert!(KernelVersion { major: 4, minor: 19 } < SAFE_THROTTLING);
    }

    #[test]
    fn this_node_has_memory_and_pages() {
        let facts = NodeFacts::read().unwrap();
        assert!(facts.capacity > 1 << 20 && facts.page.is_power_of_two(), "{facts:?}");
    }
}
