//! Device rules as the OCI runtime specification has them (config-linux, "Allowed Device list"): in order, and for
//! each kind of access the last rule that names the device decides.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::bpf::BpfInstruction;
use crate::devices::program;
use crate::error::{Error, Result};

/// A kind of device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// What is done with a device: any of making its node, reading it and writing it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeviceAccess(u8);

impl DeviceAccess {
    /// `BPF_DEVCG_ACC_MKNOD`: making a node.
    pub(super) const MAKE_NODE: Self = Self(1);
    /// `BPF_DEVCG_ACC_READ`: opening for reading.
    pub(super) const READ: Self = Self(2);
    /// `BPF_DEVCG_ACC_WRITE`: opening for writing.
    pub(super) const WRITE: Self = Self(4);
    /// All of them.
    pub(super) const ALL: Self = Self(7);

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// These and those.
    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn parse(text: &str) -> Option<Self> {
        let mut access = Self(0);
        for letter in text.chars() {
            access = access.union(match letter {
                'm' => Self::MAKE_NODE,
                'r' => Self::READ,
                'w' => Self::WRITE,
                _ => return None,
            });
        }
        (access.0 != 0).then_some(access)
    }
}

impl fmt::Debug for DeviceAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (access, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MAKE_NODE, "m")] {
            formatter.write_str(if self.contains(access) { letter } else { "-" })?;
        }
        Ok(())
    }
}

/// One rule for one kind of device; numbers are not negative, and none stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: DeviceKind,
    pub(super) major: Option<i32>,
    pub(super) minor: Option<i32>,
    pub(super) access: DeviceAccess,
}

impl Rule {
    /// Whether every access that `earlier` speaks of is decided by this later rule.
    fn covers(&self, earlier: &Self) -> bool {
        self.kind == earlier.kind
            && (self.major.is_none() || self.major == earlier.major)
            && (self.minor.is_none() || self.minor == earlier.minor)
            && self.access.contains(earlier.access)
    }
}

/// Which devices a container may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    /// What holds for a device that no rule names.
    pub(super) allow_by_default: bool,
    /// In order; the last match decides.
    pub(super) rules: Vec<Rule>,
}

/// What every container may use: making any node, and null, zero, full, random, urandom, tty, console, ptmx and
/// the pseudo terminals (OCI config-linux, "Default Devices"). Making a node is harmless without the right to open it.
const DEFAULTS: [(DeviceKind, Option<i32>, Option<i32>, DeviceAccess); 11] = {
    use DeviceKind::{Block, Character};
    [
        (Character, None, None, DeviceAccess::MAKE_NODE),
        (Block, None, None, DeviceAccess::MAKE_NODE),
        (Character, Some(1), Some(3), DeviceAccess::ALL),
        (Character, Some(1), Some(5), DeviceAccess::ALL),
        (Character, Some(1), Some(7), DeviceAccess::ALL),
        (Character, Some(1), Some(8), DeviceAccess::ALL),
        (Character, Some(1), Some(9), DeviceAccess::ALL),
        (Character, Some(5), Some(0), DeviceAccess::ALL),
        (Character, Some(5), Some(1), DeviceAccess::ALL),
        (Character, Some(5), Some(2), DeviceAccess::ALL),
        (Character, Some(136), None, DeviceAccess::ALL),
    ]
};

impl DevicePolicy {
    /// Reads `linux.resources.devices`. Nothing is allowed before the first rule, and the default devices are
    /// allowed after the last one, whatever the rules say.
    ///
    /// # Errors
    /// [`Error::InvalidResource`] for a rule without access or with a number that no device has,
    /// [`Error::UnsupportedResource`] for a FIFO.
    pub fn from_oci(devices: &[LinuxDeviceCgroup]) -> Result<Self> {
        let mut policy = Self { allow_by_default: false, rules: Vec::new() };
        for (index, device) in devices.iter().enumerate() {
            policy.add_oci(index, device)?;
        }
        if !policy.allow_by_default || !policy.rules.is_empty() {
            for (kind, major, minor, access) in DEFAULTS {
                policy.add(Rule { allow: true, kind, major, minor, access });
            }
        }
        Ok(policy)
    }

    /// Translates the policy to a program, `None` when everything is allowed and none is needed.
    ///
    /// # Errors
    /// [`Error::InvalidResource`] when there are more rules than a program can hold.
    pub fn program(&self) -> Result<Option<Vec<BpfInstruction>>> {
        program::compile(self)
    }

    fn add_oci(&mut self, index: usize, device: &LinuxDeviceCgroup) -> Result<()> {
        let resource = |field: &str| format!("devices[{index}].{field}");
        let access = device.access().as_deref().unwrap_or_default();
        let access = DeviceAccess::parse(access).ok_or_else(|| {
            Error::invalid(resource("access"), access, "is not made of the letters r, w and m")
        })?;
        let major = number(device.major()).map_err(|value| invalid_number(resource("major"), value))?;
        let minor = number(device.minor()).map_err(|value| invalid_number(resource("minor"), value))?;
        let kinds: &[DeviceKind] = match device.typ().unwrap_or(LinuxDeviceType::A) {
            LinuxDeviceType::A => &[DeviceKind::Block, DeviceKind::Character],
            LinuxDeviceType::B => &[DeviceKind::Block],
            LinuxDeviceType::C | LinuxDeviceType::U => &[DeviceKind::Character],
            LinuxDeviceType::P => return Err(Error::UnsupportedResource { resource: "devices of type p" }),
        };
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == DeviceAccess::ALL {
            // The usual first rule, and the only one of a privileged container: nothing before it matters.
            self.allow_by_default = device.allow();
            self.rules.clear();
            return Ok(());
        }
        for kind in kinds {
            self.add(Rule { allow: device.allow(), kind: *kind, major, minor, access });
        }
        Ok(())
    }

    /// Appends a rule, without the earlier ones that it makes void.
    fn add(&mut self, rule: Rule) {
        self.rules.retain(|earlier| !rule.covers(earlier));
        // Says what already holds, as long as nothing before it says otherwise.
        if rule.allow == self.allow_by_default && self.rules.iter().all(|earlier| earlier.allow == rule.allow)
        {
            return;
        }
        self.rules.push(rule);
    }
}

/// -1 and nothing stand for all numbers.
fn number(value: Option<i64>) -> std::result::Result<Option<i32>, i64> {
    match value {
        None | Some(-1) => Ok(None),
        // A signed constant in the program; Linux has 12 bits of major and 20 of minor numbers.
        Some(value) => match i32::try_from(value) {
            Ok(number) if number >= 0 => Ok(Some(number)),
            _ => Err(value),
        },
    }
}

fn invalid_number(resource: String, value: i64) -> Error {
    Error::invalid(resource, value, "is not a device number; -1 stands for all")
}
