//! `linux.resources.blockIO` to weights and lines of `io.max`.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use crate::error::{Error, Result};
use crate::limits::{DeviceNumber, IoLimits, IoThrottle, Limit};

/// The scale of `blockIO.weight`, which is that of CFQ and BFQ.
const WEIGHT_RANGE: std::ops::RangeInclusive<u16> = 10..=1000;

pub(super) fn from_oci(block_io: &LinuxBlockIo) -> Result<IoLimits> {
    if block_io.leaf_weight().is_some_and(|weight| weight != 0) {
        return Err(Error::UnsupportedResource { resource: "blockIO.leafWeight" });
    }
    let mut limits = IoLimits { weight: weight("blockIO.weight", block_io.weight())?, ..IoLimits::default() };
    for device in block_io.weight_device().iter().flatten() {
        if device.leaf_weight().is_some_and(|weight| weight != 0) {
            return Err(Error::UnsupportedResource { resource: "blockIO.weightDevice.leafWeight" });
        }
        let number = device_number("blockIO.weightDevice", device.major(), device.minor())?;
        if let Some(weight) = weight("blockIO.weightDevice.weight", device.weight())? {
            limits.device_weights.push((number, weight));
        }
    }
    // One line, so one write, per device.
    let mut by_device: BTreeMap<DeviceNumber, Vec<(&'static str, Limit)>> = BTreeMap::new();
    let lists: [(&'static str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("rbps", block_io.throttle_read_bps_device()),
        ("wbps", block_io.throttle_write_bps_device()),
        ("riops", block_io.throttle_read_iops_device()),
        ("wiops", block_io.throttle_write_iops_device()),
    ];
    for (key, devices) in lists {
        for device in devices.iter().flatten() {
            let number = device_number("blockIO.throttle", device.major(), device.minor())?;
            // A rate of 0 removes a limit in cgroup v1; v2 says "max" and refuses 0.
            let rate = if device.rate() == 0 { Limit::Unlimited } else { Limit::At(device.rate()) };
            by_device.entry(number).or_default().push((key, rate));
        }
    }
    limits.throttles = by_device.into_iter().map(|(device, rates)| IoThrottle { device, rates }).collect();
    Ok(limits)
}

fn weight(resource: &'static str, weight: Option<u16>) -> Result<Option<u16>> {
    match weight {
        None | Some(0) => Ok(None),
        Some(weight) if WEIGHT_RANGE.contains(&weight) => Ok(Some(weight)),
        Some(weight) => Err(Error::invalid(resource, weight, "is not between 10 and 1000")),
    }
}

fn device_number(resource: &'static str, major: i64, minor: i64) -> Result<DeviceNumber> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(DeviceNumber { major, minor }),
        _ => Err(Error::invalid(resource, format!("{major}:{minor}"), "is not the number of a device")),
    }
}
