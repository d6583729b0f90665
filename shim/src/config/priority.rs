//! `[priority]` of the configuration. Knows how settings are written, not what they do.

use ballast_cgroups::priority::{Level, MarkScale};
use ballast_runtime::{PriorityPolicy, Vocabulary};
use serde::{Deserialize, Deserializer, de::Error};

/// The table as it is written; what is not is as in [`PriorityPolicy::default`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    #[serde(rename = "default")]
    general: Option<Written>,
    guaranteed: Option<Written>,
    burstable: Option<Written>,
    best_effort: Option<Written>,
    honour: Vec<String>,
    net_mark: Option<String>,
}

/// A number, or its text, or a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PriorityPolicy, D::Error> {
    let table = Table::deserialize(deserializer)?;
    let honour = table.honour.iter().map(|name| {
        let vocabulary: Result<Vocabulary, _> = name.parse();
        vocabulary.map_err(|error| D::Error::custom(format!("honour = {name:?} {error}")))
    });
    let net_mark = table.net_mark.map(|text| {
        let scale: Result<MarkScale, _> = text.parse();
        scale.map_err(|fault| D::Error::custom(format!("net_mark = {text:?} {fault}")))
    });
    Ok(PriorityPolicy {
        default: level("default", table.general)?,
        guaranteed: level("guaranteed", table.guaranteed)?,
        burstable: level("burstable", table.burstable)?,
        best_effort: level("best_effort", table.best_effort)?,
        honour: honour.collect::<Result<_, _>>()?,
        net_mark: net_mark.transpose()?,
    })
}

fn level<E: Error>(key: &str, written: Option<Written>) -> Result<Option<Level>, E> {
    let Some(written) = written else { return Ok(None) };
    let text = match written {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map(Some).map_err(|fault| E::custom(format!("{key} = {text:?} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Configuration, launch::options::ConfigSource};

    fn policy(table: &str) -> Result<PriorityPolicy, String> {
        Configuration::load(&ConfigSource::Text(format!("[priority]\n{table}")))
            .map(|configuration| configuration.priority)
            .map_err(|error| ballast_runtime::report(&error))
    }

    #[test]
    fn nothing_written_asks_for_nothing() {
        assert_eq!(policy(""), Ok(PriorityPolicy::default()));
    }

    #[test]
    fn levels_are_numbers_or_names() {
        let written = "
            default = 3
            guaranteed = 'online'
            burstable = '2'
            best_effort = 7
            honour = ['volcano', 'koordinator', 'caelus']
            net_mark = '0x10/0xf0'
        ";
        let level = |number| Some(Level::new(number).unwrap());
        let expected = PriorityPolicy {
            default: level(3),
            guaranteed: level(0),
            burstable: level(2),
            best_effort: level(7),
            honour: vec![Vocabulary::Volcano, Vocabulary::Koordinator, Vocabulary::Caelus],
            net_mark: Some("0x10/0xf0".parse().unwrap()),
        };
        assert_eq!(policy(written), Ok(expected));
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (table, named) in [
            ("best_effort = 8", "best_effort = \"8\" is not a priority"),
            ("best_effort = -1", "best_effort = \"-1\""),
            ("default = 'low'", "default = \"low\""),
            ("default = 1.5", "default"),
            ("besteffort = 7", "besteffort"),
            ("honour = ['borg']", "honour = \"borg\" is none of"),
            ("honour = ['crane']", "PodQOS"),
            ("honour = 'volcano'", "honour"),
            ("net_mark = '0x10'", "net_mark = \"0x10\" is not the mark of level 0"),
            ("net_mark = 16", "net_mark"),
        ] {
            let error = policy(table).unwrap_err();
            assert!(error.contains(named), "{table}: {error}");
        }
    }
}
