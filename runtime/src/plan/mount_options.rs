//! Mount options of the OCI specification (config.md, "Linux mount options") in the kernel's terms.
//!
//! Knows words and bits, no paths.

use super::PlanError;
use crate::sys::MountAttributes;
use rustix::mount::MountFlags;

// `linux/mount.h`.
const ATTR_RDONLY: u64 = 0x1;
const ATTR_NOSUID: u64 = 0x2;
const ATTR_NODEV: u64 = 0x4;
const ATTR_NOEXEC: u64 = 0x8;
const ATTR_ATIME_MASK: u64 = 0x70;
const ATTR_RELATIME: u64 = 0x0;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_NODIRATIME: u64 = 0x80;
const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

const MS_NOSYMFOLLOW: u32 = 0x100;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const MS_UNBINDABLE: u64 = 1 << 17;

/// How a bind mount is cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    /// The mount alone.
    Single,
    /// With everything mounted below.
    Recursive,
}

/// How an id-mapped mount is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdMapping {
    Single,
    Recursive,
}

/// What a list of options means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) bind: Option<Bind>,
    pub(super) id_mapping: Option<IdMapping>,
    pub(super) copy_up: bool,
    /// `MS_*` bits, for mounting a file system.
    pub(super) flags: u32,
    /// The same, to be set on an existing mount.
    pub(super) attributes: MountAttributes,
    /// `rro`, `rnosuid` and so on, and recursive propagation.
    pub(super) recursive_attributes: MountAttributes,
    /// What is left for the file system itself.
    pub(super) data: Vec<String>,
}

/// Every option that is not the file system's own, for `-info`.
pub(crate) const KNOWN: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
    "idmap",
    "ridmap",
];

impl MountOptions {
    /// Reads the options in order; a later one overrides an earlier.
    pub(super) fn parse(field: &str, options: &[String]) -> Result<Self, PlanError> {
        let mut parsed = Self::default();
        for option in options {
            if !parsed.apply(option) {
                if option.contains(',') || option.contains('\0') {
                    return Err(PlanError::invalid(field, option, "is not one option"));
                }
                parsed.data.push(option.clone());
            }
        }
        Ok(parsed)
    }

    fn apply(&mut self, option: &str) -> bool {
        if let Some(propagation) = propagation_of(option) {
            let target =
                if option.starts_with('r') { &mut self.recursive_attributes } else { &mut self.attributes };
            target.propagation = propagation;
            return true;
        }
        match option {
            "defaults" => {}
            "bind" => self.bind = Some(Bind::Single),
            "rbind" => self.bind = Some(Bind::Recursive),
            "idmap" => self.id_mapping = Some(IdMapping::Single),
            "ridmap" => self.id_mapping = Some(IdMapping::Recursive),
            "tmpcopyup" => self.copy_up = true,
            _ => {
                if let Some((set, flag)) = file_system_flag(option) {
                    self.flags = if set { self.flags | flag } else { self.flags & !flag };
                } else if let Some((change, flag)) = mount_attribute(option) {
                    change.apply(&mut self.attributes);
                    self.flags = flag.apply(self.flags);
                } else if let Some((change, _)) = option.strip_prefix('r').and_then(mount_attribute) {
                    change.apply(&mut self.recursive_attributes);
                } else {
                    return false;
                }
            }
        }
        true
    }
}

fn propagation_of(option: &str) -> Option<u64> {
    Some(match option {
        "private" | "rprivate" => MS_PRIVATE,
        "slave" | "rslave" => MS_SLAVE,
        "shared" | "rshared" => MS_SHARED,
        "unbindable" | "runbindable" => MS_UNBINDABLE,
        _ => return None,
    })
}

/// Options of the superblock, which exist only when a file system is mounted.
fn file_system_flag(option: &str) -> Option<(bool, u32)> {
    let bits = |flags: MountFlags| flags.bits();
    Some(match option {
        "sync" => (true, bits(MountFlags::SYNCHRONOUS)),
        "async" => (false, bits(MountFlags::SYNCHRONOUS)),
        "dirsync" => (true, bits(MountFlags::DIRSYNC)),
        "lazytime" => (true, bits(MountFlags::LAZYTIME)),
        "nolazytime" => (false, bits(MountFlags::LAZYTIME)),
        "mand" => (true, bits(MountFlags::PERMIT_MANDATORY_FILE_LOCKING)),
        "nomand" => (false, bits(MountFlags::PERMIT_MANDATORY_FILE_LOCKING)),
        "silent" => (true, bits(MountFlags::SILENT)),
        "loud" => (false, bits(MountFlags::SILENT)),
        "iversion" => (true, 1 << 23),
        "noiversion" => (false, 1 << 23),
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy)]
enum AttributeChange {
    Set(u64),
    Clear(u64),
    /// The access time modes are a number in two bits, not flags of their own.
    AccessTime(u64),
}

impl AttributeChange {
    fn apply(self, attributes: &mut MountAttributes) {
        let (set, clear) = match self {
            Self::Set(bits) => (bits, 0),
            Self::Clear(bits) => (0, bits),
            Self::AccessTime(mode) => (mode, ATTR_ATIME_MASK),
        };
        // What an earlier option asked about these bits no longer counts.
        attributes.set = (attributes.set & !(set | clear)) | set;
        attributes.clear = if clear == ATTR_ATIME_MASK {
            attributes.clear | clear
        } else {
            (attributes.clear & !set) | clear
        };
    }
}

#[derive(Debug, Clone, Copy)]
enum FlagChange {
    Set(MountFlags),
    Clear(MountFlags),
}

impl FlagChange {
    fn apply(self, flags: u32) -> u32 {
        match self {
            Self::Set(bits) => flags | bits.bits(),
            Self::Clear(bits) => flags & !bits.bits(),
        }
    }
}

/// Options of a mount, with or without a new file system behind it; each exists with an `r` before it as well.
fn mount_attribute(option: &str) -> Option<(AttributeChange, FlagChange)> {
    use AttributeChange::{AccessTime, Clear, Set};
    let no_symlinks = MountFlags::from_bits_retain(MS_NOSYMFOLLOW);
    Some(match option {
        "ro" => (Set(ATTR_RDONLY), FlagChange::Set(MountFlags::RDONLY)),
        "rw" => (Clear(ATTR_RDONLY), FlagChange::Clear(MountFlags::RDONLY)),
        "nosuid" => (Set(ATTR_NOSUID), FlagChange::Set(MountFlags::NOSUID)),
        "suid" => (Clear(ATTR_NOSUID), FlagChange::Clear(MountFlags::NOSUID)),
        "nodev" => (Set(ATTR_NODEV), FlagChange::Set(MountFlags::NODEV)),
        "dev" => (Clear(ATTR_NODEV), FlagChange::Clear(MountFlags::NODEV)),
        "noexec" => (Set(ATTR_NOEXEC), FlagChange::Set(MountFlags::NOEXEC)),
        "exec" => (Clear(ATTR_NOEXEC), FlagChange::Clear(MountFlags::NOEXEC)),
        "nodiratime" => (Set(ATTR_NODIRATIME), FlagChange::Set(MountFlags::NODIRATIME)),
        "diratime" => (Clear(ATTR_NODIRATIME), FlagChange::Clear(MountFlags::NODIRATIME)),
        "nosymfollow" => (Set(ATTR_NOSYMFOLLOW), FlagChange::Set(no_symlinks)),
        "symfollow" => (Clear(ATTR_NOSYMFOLLOW), FlagChange::Clear(no_symlinks)),
        "noatime" => (AccessTime(ATTR_NOATIME), FlagChange::Set(MountFlags::NOATIME)),
        "strictatime" => (AccessTime(ATTR_STRICTATIME), FlagChange::Set(MountFlags::STRICTATIME)),
        "relatime" => (AccessTime(ATTR_RELATIME), FlagChange::Set(MountFlags::RELATIME)),
        "atime" => (AccessTime(ATTR_RELATIME), FlagChange::Clear(MountFlags::NOATIME)),
        "norelatime" => (AccessTime(ATTR_STRICTATIME), FlagChange::Clear(MountFlags::RELATIME)),
        "nostrictatime" => (AccessTime(ATTR_RELATIME), FlagChange::Clear(MountFlags::STRICTATIME)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> MountOptions {
        MountOptions::parse("mounts[0].options", &options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
            .unwrap()
    }

    #[test]
    fn the_options_of_a_kubernetes_volume_are_a_recursive_bind_with_its_propagation() {
        let options = parse(&["rbind", "rslave", "ro"]);
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert_eq!(options.attributes, MountAttributes { set: ATTR_RDONLY, clear: 0, propagation: 0 });
        assert_eq!(options.recursive_attributes, MountAttributes { set: 0, clear: 0, propagation: MS_SLAVE });
    }

    #[test]
    fn an_r_before_an_attribute_makes_it_recursive() {
        assert_eq!(parse(&["rbind", "rro"]).recursive_attributes.set, ATTR_RDONLY);
        assert_eq!(parse(&["rw"]).attributes.clear, ATTR_RDONLY);
        assert_eq!(parse(&["relatime"]).attributes.clear, ATTR_ATIME_MASK);
    }

    #[test]
    fn a_later_option_overrides_an_earlier_one() {
        let options = parse(&["ro", "rw"]);
        assert_eq!((options.attributes.set, options.flags & MountFlags::RDONLY.bits()), (0, 0));
        let options = parse(&["rw", "ro"]);
        assert_eq!((options.attributes.set, options.attributes.clear), (ATTR_RDONLY, 0));
    }

    #[test]
    fn what_is_no_mount_option_is_left_to_the_file_system() {
        assert_eq!(parse(&["nosuid", "mode=755", "size=65536k"]).data, ["mode=755", "size=65536k"]);
    }

    #[test]
    fn an_option_that_smuggles_another_is_refused() {
        assert!(MountOptions::parse("mounts[0].options", &["mode=755,uid=0".to_owned()]).is_err());
    }

    #[test]
    fn every_option_that_is_announced_is_understood() {
        for option in KNOWN {
            assert!(parse(&[option]).data.is_empty(), "{option}");
        }
    }
}
