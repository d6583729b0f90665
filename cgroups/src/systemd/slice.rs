//! A level of cgroups that is a slice: told what it protects, so that it is still protected after a reload of systemd.

use std::path::Path;

use crate::error::Result;
use crate::limits::Limit;
use crate::memory_qos::Knob;
use crate::systemd::bus::{self, Bus};
use crate::systemd::property::{Property, Value};

/// Tells systemd what the slice whose directory this is protects. systemd writes the files on its own time, and again
/// whenever it reloads.
pub(crate) fn protect_slice(directory: &Path, protections: &[(Knob, Limit)]) -> Result<()> {
    let unit = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let properties = properties(protections);
    bus::run("protect", unit, async { Bus::connect(unit).await?.set(&properties).await })
        .map_err(|error| Box::new(error).into())
}

fn properties(protections: &[(Knob, Limit)]) -> Vec<Property> {
    let property = |(knob, limit): &(Knob, Limit)| {
        let name = if *knob == Knob::Min { "MemoryMin" } else { "MemoryLow" };
        Property::new(name, Value::U64(limit.bytes()))
    };
    protections.iter().map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections_have_the_names_and_the_infinity_of_systemd() {
        let properties = properties(&[(Knob::Min, Limit::At(4096)), (Knob::Low, Limit::Unlimited)]);
        assert_eq!(
            properties,
            [Property::new("MemoryMin", Value::U64(4096)), Property::new("MemoryLow", Value::U64(u64::MAX))]
        );
    }
}
