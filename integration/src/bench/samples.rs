//! The load generator's lines, gathered by what was measured and for which handler. Knows no units' meaning.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Line {
    handler: String,
    what: String,
    unit: Unit,
    value: u64,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Unit {
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// Bytes in a second.
    #[serde(rename = "B/s")]
    BytesPerSecond,
    /// Hundredths.
    #[serde(rename = "%")]
    Percent,
    /// Things.
    #[serde(rename = "1")]
    Count,
}

/// Everything that was measured of one kind, in the order in which the generator first spoke of it.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) quantities: Vec<Quantity>,
}

/// One row of the results.
#[derive(Debug)]
pub(super) struct Quantity {
    pub(super) what: String,
    pub(super) unit: Unit,
    values: BTreeMap<String, Vec<u64>>,
}

/// What was measured of one handler, in the order of its making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Side {
    #[serde(flatten)]
    pub(super) quartiles: Quartiles,
    pub(super) values: Vec<u64>,
}

/// Where a quarter, half, three quarters, and 99 of a hundred values lie below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) samples: usize,
    pub(crate) p25: u64,
    pub(crate) median: u64,
    pub(crate) p75: u64,
    pub(crate) p99: u64,
}

impl Samples {
    /// Reads lines of JSON.
    ///
    /// # Errors
    /// On a line that is none, a quantity in two units, or no line at all.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut quantities: Vec<Quantity> = Vec::new();
        for line in text.lines() {
            let line: Line =
                serde_json::from_str(line).with_context(|| format!("the load generator printed {line:?}"))?;
            let index = quantities.iter().position(|known| known.what == line.what).unwrap_or_else(|| {
                quantities.push(Quantity {
                    what: line.what.clone(),
                    unit: line.unit,
                    values: BTreeMap::new(),
                });
                quantities.len() - 1
            });
            let quantity = &mut quantities[index];
            if quantity.unit != line.unit {
                bail!("{} was measured in {:?} and in {:?}", line.what, quantity.unit, line.unit);
            }
            quantity.values.entry(line.handler).or_default().push(line.value);
        }
        if quantities.is_empty() {
            bail!("the load generator measured nothing");
        }
        Ok(Self { quantities })
    }
}

impl Quantity {
    /// What was measured of `handler`, at least `least` values.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn of(&self, handler: &str, least: usize) -> Result<Side> {
        let values = self.values.get(handler).cloned().unwrap_or_default();
        let samples = values.len();
        if samples == 0 || samples < least {
            bail!("{} of {handler} has {samples} measurements, not {least}", self.what);
        }
        Ok(Side { quartiles: Quartiles::of(values.clone()), values })
    }
}

impl Quartiles {
    /// Of values in any order, at least one.
    pub(crate) fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let samples = values.len();
        let at = |quarter: usize| {
            // Between two values when it falls there.
            let (low, high) = ((samples - 1) * quarter / 4, ((samples - 1) * quarter).div_ceil(4));
            values[low].midpoint(values[high])
        };
        // The smallest that is not below 99 of a hundred: the greatest of all where there are few.
        let p99 = values[(samples * 99).div_ceil(100) - 1];
        Self { samples, p25: at(1), median: at(2), p75: at(3), p99 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(handler: &str, value: u64) -> String {
        format!(r#"{{"handler":"{handler}","what":"ExecSync","unit":"ns","value":{value}}}"#)
    }

    #[test]
    fn quartiles_do_not_depend_on_the_order_of_the_values() {
        let text = [5, 1, 4, 2, 3].map(|value| line("runc", value)).join("\n");
        let samples = Samples::parse(&text).unwrap();
        let side = samples.quantities[0].of("runc", 5).unwrap();
        assert_eq!(side.quartiles, Quartiles { samples: 5, p25: 2, median: 3, p75: 4, p99: 5 });
        assert_eq!(side.values, [5, 1, 4, 2, 3]);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        let text = [10, 20, 30, 100].map(|value| line("runc", value)).join("\n");
        assert_eq!(Samples::parse(&text).unwrap().quantities[0].of("runc", 4).unwrap().quartiles.median, 25);
    }

    #[test]
    fn one_value_of_two_hundred_is_above_p99() {
        assert_eq!(Quartiles::of((1..=200).collect()).p99, 198);
        assert_eq!(Quartiles::of(vec![7]).p99, 7);
    }

    #[test]
    fn a_missing_measurement_is_an_error() {
        let samples = Samples::parse(&line("runc", 1)).unwrap();
        let error = samples.quantities[0].of("crun", 1).unwrap_err();
        assert_eq!(error.to_string(), "ExecSync of crun has 0 measurements, not 1");
        assert!(samples.quantities[0].of("runc", 2).is_err());
        assert!(Samples::parse("").is_err());
    }
}
