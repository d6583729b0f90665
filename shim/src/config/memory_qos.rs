//! `[memory_qos]` of the configuration. Knows how settings are written, not what they do.

use ballast_cgroups::memory_qos::{Fraction, Mode, Policy, Reach, parse_bytes};
use serde::{Deserialize, Deserializer, de::Error};

/// The table as it is written; what is not is as in [`Policy::default`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    policy: PolicyName,
    #[serde(deserialize_with = "factor")]
    throttling_factor: Option<Fraction>,
    #[serde(deserialize_with = "quantity")]
    node_allocatable: Option<u64>,
    protect_ancestors: ReachName,
    estimate_requests: bool,
    guaranteed: Guaranteed,
    burstable: Burstable,
    best_effort: BestEffort,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            policy: PolicyName::default(),
            throttling_factor: None,
            node_allocatable: None,
            protect_ancestors: ReachName::default(),
            estimate_requests: Policy::default().estimate_requests,
            guaranteed: Guaranteed::default(),
            burstable: Burstable::default(),
            best_effort: BestEffort::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PolicyName {
    #[default]
    Kubelet,
    Tiered,
    Off,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReachName {
    #[default]
    Pod,
    Node,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Guaranteed {
    protect: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Burstable {
    protect: bool,
    throttle: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BestEffort {
    throttle: bool,
}

impl Default for Guaranteed {
    fn default() -> Self {
        Self { protect: Policy::default().protect_guaranteed }
    }
}

impl Default for Burstable {
    fn default() -> Self {
        let policy = Policy::default();
        Self { protect: policy.protect_burstable, throttle: policy.throttle_burstable }
    }
}

impl Default for BestEffort {
    fn default() -> Self {
        Self { throttle: Policy::default().throttle_best_effort }
    }
}

/// Reads the table.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    let table = Table::deserialize(deserializer)?;
    Ok(Policy {
        mode: match table.policy {
            PolicyName::Kubelet => Mode::Kubelet,
            PolicyName::Tiered => Mode::Tiered,
            PolicyName::Off => Mode::Off,
        },
        throttling_factor: table.throttling_factor,
        node_allocatable: table.node_allocatable,
        protect_ancestors: match table.protect_ancestors {
            ReachName::Pod => Reach::Pod,
            ReachName::Node => Reach::Node,
        },
        estimate_requests: table.estimate_requests,
        protect_guaranteed: table.guaranteed.protect,
        protect_burstable: table.burstable.protect,
        throttle_burstable: table.burstable.throttle,
        throttle_best_effort: table.best_effort.throttle,
    })
}

/// A number, or its text. The shortest text that a float is read back from is what was written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Number {
    fn text(self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fraction>, D::Error> {
    let text = Number::deserialize(deserializer)?.text();
    Fraction::factor(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format!("throttling_factor {text} {error}")))
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = Number::deserialize(deserializer)?.text();
    parse_bytes(&text)
        .map(Some)
        .map_err(|fault| D::Error::custom(format!("node_allocatable {text:?} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Configuration, launch::options::ConfigSource};

    fn policy(text: &str) -> Result<Policy, String> {
        Configuration::load(&ConfigSource::Text(text.to_owned()))
            .map(|configuration| configuration.memory_qos)
            .map_err(|error| ballast_runtime::report(&error))
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        assert_eq!(policy(""), Ok(Policy::default()));
        assert_eq!(policy("[memory_qos]"), Ok(Policy::default()));
        let tiered = policy("[memory_qos]\npolicy = 'tiered'").unwrap();
        assert_eq!(tiered, Policy { mode: Mode::Tiered, ..Policy::default() });
    }

    #[test]
    fn everything_can_be_written() {
        let text = "
            [memory_qos]
            policy = 'tiered'
            throttling_factor = 0.9
            node_allocatable = '30Gi'
            protect_ancestors = 'node'
            estimate_requests = false
            guaranteed = { protect = false }
            burstable = { protect = false, throttle = false }
            best_effort = { throttle = false }
        ";
        let expected = Policy {
            mode: Mode::Tiered,
            throttling_factor: Some(Fraction::factor("0.9").unwrap()),
            node_allocatable: Some(30 << 30),
            protect_ancestors: Reach::Node,
            estimate_requests: false,
            protect_guaranteed: false,
            protect_burstable: false,
            throttle_burstable: false,
            throttle_best_effort: false,
        };
        assert_eq!(policy(text), Ok(expected));
        let whole = policy("[memory_qos]\nthrottling_factor = 1\nnode_allocatable = 1073741824").unwrap();
        assert_eq!(whole.throttling_factor, Some(Fraction::factor("1.0").unwrap()));
        assert_eq!(whole.node_allocatable, Some(1 << 30));
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (text, named) in [
            ("polcy = 'off'", "polcy"),
            ("policy = 'teired'", "teired"),
            ("throttling_factor = 0.0", "throttling_factor 0"),
            ("throttling_factor = 1.5", "throttling_factor 1.5"),
            ("throttling_factor = nan", "throttling_factor NaN"),
            ("throttling_factor = -1", "throttling_factor -1"),
            ("node_allocatable = '30Qi'", "30Qi"),
            ("protect_ancestors = 'all'", "all"),
            ("guaranteed = { throttle = true }", "throttle"),
        ] {
            let error = policy(&format!("[memory_qos]\n{text}")).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
