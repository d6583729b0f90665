//! What a container asks for beyond its limits, in units of its own: no file, no kernel.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::DeviceNumber;

use super::level::Level;
use super::packet_mark::PacketMark;

/// What a container asks for. What is not set is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Request {
    /// Its priority for CPU, memory and disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// How much CPU time beyond its quota it may use in one period if it left that much unused before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_burst: Option<Microseconds>,
    /// Whether strangers are to be kept off the other hardware threads of the cores that it runs on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smt_isolation: bool,
    /// The share of its memory limit at which the kernel begins to reclaim in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_async_reclaim: Option<Percent>,
    /// How much page cache it may keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_cache_limit: Option<PageCacheLimit>,
    /// Its weight for disks, instead of the one that follows from the level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_weight: Option<DiskWeight>,
    /// Bounds of disks; at most one for each disk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disk_limits: Vec<DiskLimit>,
    /// The priority of its packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_priority: Option<Level>,
    /// The mark of its packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_mark: Option<PacketMark>,
    /// Bounds of its network traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_limits: Option<NetLimits>,
}

impl Request {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A number that is outside of its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a number from {least} to {most}")]
pub struct OutOfRange {
    /// The smallest that is accepted.
    pub least: u16,
    /// The greatest that is accepted.
    pub most: u16,
}

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Microseconds(pub u64);

impl fmt::Display for Microseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}us", self.0)
    }
}

/// 1 to 100 hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// This many hundredths.
    ///
    /// # Errors
    /// When it is 0 or more than 100.
    pub fn new(hundredths: u8) -> Result<Self, OutOfRange> {
        match hundredths {
            1..=100 => Ok(Self(hundredths)),
            _ => Err(OutOfRange { least: 1, most: 100 }),
        }
    }

    /// The number of hundredths, 1 to 100.
    #[must_use]
    pub fn hundredths(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = OutOfRange;

    fn try_from(hundredths: u8) -> Result<Self, OutOfRange> {
        Self::new(hundredths)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

/// A bound of page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageCacheLimit {
    /// In bytes.
    Bytes(u64),
    /// Of the container's memory limit.
    Share(Percent),
}

impl fmt::Display for PageCacheLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "{bytes} bytes"),
            Self::Share(share) => write!(formatter, "{share} of the memory limit"),
        }
    }
}

/// A container's share of a disk that is contended: 1 to 1000 in proportion to its siblings', who have 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct DiskWeight(u16);

impl DiskWeight {
    /// The kernel's own default.
    pub const DEFAULT: Self = Self(100);

    /// This weight.
    ///
    /// # Errors
    /// When it is 0 or more than 1000.
    pub fn new(weight: u16) -> Result<Self, OutOfRange> {
        match weight {
            1..=1000 => Ok(Self(weight)),
            _ => Err(OutOfRange { least: 1, most: 1000 }),
        }
    }

    /// 1 to 1000.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for DiskWeight {
    type Error = OutOfRange;

    fn try_from(weight: u16) -> Result<Self, OutOfRange> {
        Self::new(weight)
    }
}

impl From<DiskWeight> for u16 {
    fn from(weight: DiskWeight) -> Self {
        weight.0
    }
}

impl fmt::Display for DiskWeight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Which disks a bound is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskTarget {
    /// Every disk of the node that has no bound of its own.
    All,
    /// One, by its device number.
    Device(DeviceNumber),
}

impl fmt::Display for DiskTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Device(number) => number.fmt(formatter),
        }
    }
}

/// How fast a container may use a disk. A rate that is not set, or 0, is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskLimit {
    /// The disk.
    pub target: DiskTarget,
    /// Bytes read per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<u64>,
    /// Reads per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_operations: Option<u64>,
    /// Writes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_operations: Option<u64>,
}

impl DiskLimit {
    /// The rates with the kernel's keys for them (`io.max`).
    #[must_use]
    pub fn rates(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("rbps", self.read_bytes),
            ("wbps", self.write_bytes),
            ("riops", self.read_operations),
            ("wiops", self.write_operations),
        ]
    }
}

impl fmt::Display for DiskLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(formatter)?;
        for (key, rate) in self.rates() {
            if let Some(rate) = rate {
                write!(formatter, " {key}={rate}")?;
            }
        }
        Ok(())
    }
}

/// How fast a container may send and receive, in bits per second. What is not set, or 0, is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NetLimits {
    /// Bits sent per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_bits: Option<u64>,
    /// Bits received per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_bits: Option<u64>,
}

impl fmt::Display for NetLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bits: Option<u64>| match bits {
            None | Some(0) => "no limit".to_owned(),
            Some(bits) => format!("{bits} bit/s"),
        };
        write!(formatter, "send {}, receive {}", bound(self.transmit_bits), bound(self.receive_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_of_a_scale_are_refused_with_the_scale() {
        assert_eq!(Percent::new(0).unwrap_err().to_string(), "is not a number from 1 to 100");
        assert_eq!(Percent::new(101), Err(OutOfRange { least: 1, most: 100 }));
        assert_eq!(DiskWeight::new(0).unwrap_err().to_string(), "is not a number from 1 to 1000");
        assert!(DiskWeight::new(1001).is_err() && DiskWeight::new(1000).is_ok());
    }

    #[test]
    fn a_request_survives_its_text() {
        let request = Request {
            level: Some(Level::OFFLINE),
            cpu_burst: Some(Microseconds(5000)),
            smt_isolation: true,
            memory_async_reclaim: Some(Percent::new(95).unwrap()),
            page_cache_limit: Some(PageCacheLimit::Bytes(1 << 20)),
            disk_weight: Some(DiskWeight::new(10).unwrap()),
            disk_limits: vec![DiskLimit {
                target: DiskTarget::Device(DeviceNumber { major: 8, minor: 0 }),
                read_bytes: Some(1 << 20),
                write_bytes: None,
                read_operations: None,
                write_operations: Some(5),
            }],
            net_priority: Some(Level::ONLINE),
            net_mark: Some(PacketMark { value: 0x10, mask: 0xf0 }),
            net_limits: Some(NetLimits { transmit_bits: Some(1_000_000), receive_bits: None }),
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert_eq!(serde_json::to_string(&Request::default()).unwrap(), "{}");
        assert_eq!(request.disk_limits[0].to_string(), "8:0 rbps=1048576 wiops=5");
    }
}
