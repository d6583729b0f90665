//! Unit properties that say what the files of a cgroup say (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//! Pure: nothing is sent.

use crate::error::{Error, Result};
use crate::limits::convert::io_weight;
use crate::limits::{CpuLimits, Limit, Limits, parse_size};

/// The value of a unit property, by its type on the bus.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    F64(f64),
    Text(String),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    U32s(Vec<u32>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: Value,
    /// The systemd that first knows it. An older one is not told, and does not touch the file either.
    pub(super) since: u32,
}

impl Property {
    pub(super) fn new(name: impl Into<String>, value: Value) -> Self {
        Self { name: name.into(), value, since: OLDEST }
    }
}

/// Oldest systemd that knows all properties without a version of their own; from 2019.
pub(super) const OLDEST: u32 = 244;
/// `CPUWeight=idle`.
const IDLE_SINCE: u32 = 252;
/// `OOMPolicy=` of scopes.
const OOM_POLICY_SINCE: u32 = 253;

/// systemd keeps a quota as a whole percentage of a CPU: microseconds per second.
const QUOTA_STEP_USEC: u64 = 10_000;
const SECOND_USEC: u64 = 1_000_000;
/// The kernel's default of `cpu.max`.
const PERIOD_USEC: u64 = 100_000;
/// Above any CPU or memory node that Linux can have.
const SET_BITS_MAX: u32 = 1 << 16;

/// Properties for a container's unit beyond those that its limits make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitProperties {
    pub(super) properties: Vec<Property>,
}

/// The properties for the limits that are set; the last one of a name counts.
pub(super) fn of_limits(limits: &Limits) -> Result<Vec<Property>> {
    let mut set = PropertySet { properties: Vec::new() };
    let bytes = [
        ("MemoryMax", limits.memory.max),
        ("MemoryMin", limits.memory.min),
        ("MemoryLow", limits.memory.low),
        ("MemoryHigh", limits.memory.high),
        ("MemorySwapMax", limits.memory.swap_max),
        ("TasksMax", limits.pids),
    ];
    for (name, limit) in bytes {
        if let Some(limit) = limit {
            set.put(Property::new(name, Value::U64(limit.bytes())));
        }
    }
    if let Some(group) = limits.memory.oom_group {
        set.put_oom_policy(group);
    }
    set.put_cpu(&limits.cpu);
    if let Some(weight) = limits.io.weight {
        set.put(Property::new("IOWeight", Value::U64(io_weight(weight))));
    }
    for (name, list) in [("AllowedCPUs", &limits.cpuset.cpus), ("AllowedMemoryNodes", &limits.cpuset.mems)] {
        if let Some(list) = list {
            let bits = bits_of(list).ok_or_else(|| Error::invalid(name, list, NOT_UNDERSTOOD))?;
            set.put(Property::new(name, Value::Bytes(bits)));
        }
    }
    for file in &limits.unified {
        set.put_unified(&file.name, file.value.trim()).ok_or_else(|| {
            Error::invalid(format!("unified[{:?}]", file.name), &file.value, NOT_UNDERSTOOD)
        })?;
    }
    Ok(set.properties)
}

const NOT_UNDERSTOOD: &str = "cannot be told to systemd, which would undo it";

struct PropertySet {
    properties: Vec<Property>,
}

impl PropertySet {
    fn put(&mut self, property: Property) {
        self.properties.retain(|earlier| earlier.name != property.name);
        self.properties.push(property);
    }

    fn put_number(&mut self, name: &str, value: u64) {
        self.put(Property::new(name, Value::U64(value)));
    }

    fn put_cpu(&mut self, cpu: &CpuLimits) {
        if let Some(weight) = cpu.weight {
            self.put_number("CPUWeight", weight);
        }
        if cpu.idle == Some(true) {
            self.put_idle();
        }
        if let Some(period) = cpu.period {
            self.put_number("CPUQuotaPeriodUSec", period);
        }
        if let Some(quota) = cpu.quota {
            let per_second = match quota {
                Limit::Unlimited => u64::MAX,
                Limit::At(quota) => {
                    let period = cpu.period.unwrap_or(PERIOD_USEC).max(1);
                    // Rounded up, so that systemd never takes away what was asked for; the file gets it exactly.
                    (quota.saturating_mul(SECOND_USEC) / period)
                        .div_ceil(QUOTA_STEP_USEC)
                        .saturating_mul(QUOTA_STEP_USEC)
                }
            };
            self.put_number("CPUQuotaPerSecUSec", per_second);
        }
    }

    /// 0 is systemd's word for `cpu.idle`.
    fn put_idle(&mut self) {
        self.put(Property { since: IDLE_SINCE, ..Property::new("CPUWeight", Value::U64(0)) });
    }

    /// `memory.oom.group` in systemd's words.
    fn put_oom_policy(&mut self, group: bool) {
        let policy = Value::Text(if group { "kill" } else { "continue" }.to_owned());
        self.put(Property { since: OOM_POLICY_SINCE, ..Property::new("OOMPolicy", policy) });
    }

    /// Files that systemd does not manage are left out. `None` when the value of one that it does is not understood.
    fn put_unified(&mut self, file: &str, value: &str) -> Option<()> {
        let bound = || parse_size(value).map(Limit::bytes);
        match file {
            "memory.min" => self.put_number("MemoryMin", bound()?),
            "memory.low" => self.put_number("MemoryLow", bound()?),
            "memory.high" => self.put_number("MemoryHigh", bound()?),
            "memory.max" => self.put_number("MemoryMax", bound()?),
            "memory.swap.max" => self.put_number("MemorySwapMax", bound()?),
            "pids.max" => self.put_number("TasksMax", bound()?.max(1)),
            "cpu.weight" => self.put_number("CPUWeight", value.parse().ok()?),
            "cpu.idle" if value == "1" => self.put_idle(),
            "io.weight" => self.put_number("IOWeight", value.trim_start_matches("default ").parse().ok()?),
            "cpu.max" => {
                let mut fields = value.split_ascii_whitespace();
                let quota = match fields.next()? {
                    "max" => Limit::Unlimited,
                    quota => Limit::At(quota.parse().ok()?),
                };
                let period = fields.next().map(str::parse).transpose().ok()?;
                self.put_cpu(&CpuLimits { quota: Some(quota), period, ..CpuLimits::default() });
            }
            "cpuset.cpus" => self.put(Property::new("AllowedCPUs", Value::Bytes(bits_of(value)?))),
            "cpuset.mems" => self.put(Property::new("AllowedMemoryNodes", Value::Bytes(bits_of(value)?))),
            "memory.oom.group" => self.put_oom_policy(value == "1"),
            _ => {}
        }
        Some(())
    }
}

/// `0-2,8` to the bits of a set, the lowest first; nothing to none, by which systemd forgets a set.
fn bits_of(list: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    if list.trim().is_empty() {
        return Some(bytes);
    }
    for range in list.split(',').map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= SET_BITS_MAX {
            return None;
        }
        for bit in first..=last {
            let index = usize::try_from(bit / 8).ok()?;
            if bytes.len() <= index {
                bytes.resize(index + 1, 0);
            }
            *bytes.get_mut(index)? |= 1 << (bit % 8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(json: &str) -> Vec<(String, Value)> {
        let limits = Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap();
        of_limits(&limits).unwrap().into_iter().map(|property| (property.name, property.value)).collect()
    }

    fn number_of(properties: &[(String, Value)], name: &str) -> Option<u64> {
        properties.iter().find(|(key, _)| key == name).map(|(_, value)| match value {
            Value::U64(number) => *number,
            other => panic!("{name} is {other:?}"),
        })
    }

    #[test]
    fn limits_are_told_to_systemd_in_its_units() {
        let properties = properties(
            r#"{"memory": {"limit": 1000, "reservation": 500, "swap": 1000}, "pids": {"limit": -1},
                "cpu": {"shares": 1024, "quota": 25500, "period": 50000, "cpus": "0-1,9"}, "blockIO": {"weight": 10}}"#,
        );
        assert_eq!(number_of(&properties, "MemoryMax"), Some(1000));
        assert_eq!(number_of(&properties, "MemoryLow"), Some(500));
        assert_eq!(number_of(&properties, "MemorySwapMax"), Some(0));
        assert_eq!(number_of(&properties, "TasksMax"), Some(u64::MAX));
        assert_eq!(number_of(&properties, "CPUWeight"), Some(100));
        assert_eq!(number_of(&properties, "CPUQuotaPeriodUSec"), Some(50_000));
        assert_eq!(number_of(&properties, "CPUQuotaPerSecUSec"), Some(510_000));
        assert_eq!(number_of(&properties, "IOWeight"), Some(1));
        assert!(properties.contains(&("AllowedCPUs".into(), Value::Bytes(vec![0b11, 0b10]))));
    }

    #[test]
    fn a_quota_is_never_rounded_down() {
        let properties = properties(r#"{"cpu": {"quota": 12345}}"#);
        assert_eq!(number_of(&properties, "CPUQuotaPerSecUSec"), Some(130_000));
        assert_eq!(number_of(&properties, "CPUQuotaPeriodUSec"), None);
    }

    #[test]
    fn a_unified_file_wins_over_the_limit_of_the_same_name() {
        let properties = properties(
            r#"{"memory": {"limit": 1000}, "unified":
                {"memory.max": "2K", "memory.high": "max", "cpu.max": "max 100000", "cgroup.max.depth": "3"}}"#,
        );
        assert_eq!(number_of(&properties, "MemoryMax"), Some(2048));
        assert_eq!(number_of(&properties, "MemoryHigh"), Some(u64::MAX));
        assert_eq!(number_of(&properties, "CPUQuotaPerSecUSec"), Some(u64::MAX));
        assert_eq!(properties.len(), 4, "{properties:?}");
    }

    #[test]
    fn what_systemd_would_undo_is_refused() {
        for json in [
            r#"{"unified": {"memory.max": "lots"}}"#,
            r#"{"unified": {"cpuset.cpus": "all"}}"#,
            r#"{"cpu": {"cpus": "3-1"}}"#,
        ] {
            let limits = Limits::from_oci(&serde_json::from_str(json).unwrap()).unwrap();
            assert_eq!(of_limits(&limits).unwrap_err().kind(), crate::Kind::InvalidArgument, "{json}");
        }
    }
}
