//! What critest's benchmarks measured, read from the files that they write. Knows no handler.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The files, in the order in which their operations are shown.
pub(super) const FILES: [&str; 4] = [
    "pod_benchmark_data.json",
    "container_benchmark_data.json",
    "image_lifecycle_benchmark_data.json",
    "image_listing_benchmark_data.json",
];

/// One operation's durations in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) durations: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    operations_names: Vec<String>,
    datapoints: Vec<Datapoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datapoint {
    operations_durations_ns: Vec<u64>,
}

/// Reads one file's content.
///
/// # Errors
/// When it is no such file, has no data, or an operation lacks a duration.
pub(super) fn parse(text: &str) -> Result<Vec<Operation>> {
    let file: File = serde_json::from_str(text).context("parse critest's benchmark data")?;
    if file.datapoints.is_empty() {
        bail!("critest measured nothing of {}", file.operations_names.join(", "));
    }
    let operation = |(index, name): (usize, String)| {
        let durations = file.datapoints.iter().map(|point| point.operations_durations_ns.get(index).copied());
        let durations =
            durations.collect::<Option<_>>().with_context(|| format!("a measurement lacks {name}"))?;
        Ok(Operation { name, durations })
    };
    file.operations_names.iter().cloned().enumerate().map(operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_one_duration_of_each_datapoint() {
        let text = r#"{"operationsNames": ["CreatePod", "StopPod"], "numParallel": 1, "datapoints": [
            {"sampleIndex": 1, "operationsDurationsNs": [3, 4]}, {"sampleIndex": 0, "operationsDurationsNs": [1, 2]}]}"#;
        let operation =
            |name: &str, durations: &[u64]| Operation { name: name.into(), durations: durations.into() };
        assert_eq!(parse(text).unwrap(), [operation("CreatePod", &[3, 1]), operation("StopPod", &[4, 2])]);
    }

    #[test]
    fn a_file_without_data_or_with_a_gap_is_an_error() {
        let empty = r#"{"operationsNames": ["ListImages"], "datapoints": []}"#;
        assert_eq!(parse(empty).unwrap_err().to_string(), "critest measured nothing of ListImages");
        let gap = r#"{"operationsNames": ["A", "B"], "datapoints": [{"operationsDurationsNs": [1]}]}"#;
        assert_eq!(parse(gap).unwrap_err().to_string(), "a measurement lacks B");
    }
}
