//! `[proc_view]` of the configuration. Knows how settings are written, not what they do.

use ballast_runtime::{Containers, CpuView, Rounding, Selection, ViewPolicy};
use serde::{Deserialize, Deserializer, de::Error};

/// The table as it is written; what is not is as in [`ViewPolicy::default`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    default: Option<DefaultName>,
    files: Option<Vec<String>>,
    rounding: RoundingName,
    sysinfo: bool,
    cpu_view: CpuViewName,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DefaultName {
    Off,
    Limited,
    On,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoundingName {
    #[default]
    Up,
    Nearest,
    Down,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CpuViewName {
    #[default]
    Files,
    Cpuset,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ViewPolicy, D::Error> {
    let table = Table::deserialize(deserializer)?;
    let files = match table.files {
        Some(names) => Selection::parse(&names.join(","))
            .map_err(|error| D::Error::custom(format!("files = {names:?} {error}")))?,
        None => Selection::ALL,
    };
    Ok(ViewPolicy {
        containers: match table.default {
            Some(DefaultName::Off) => Containers::None,
            Some(DefaultName::Limited) => Containers::Limited,
            Some(DefaultName::On) => Containers::All,
            None => Containers::default(),
        },
        files,
        rounding: match table.rounding {
            RoundingName::Up => Rounding::Up,
            RoundingName::Nearest => Rounding::Nearest,
            RoundingName::Down => Rounding::Down,
        },
        sysinfo: table.sysinfo,
        cpu_view: match table.cpu_view {
            CpuViewName::Files => CpuView::Files,
            CpuViewName::Cpuset => CpuView::Cpuset,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::launch::options::ConfigSource;

    fn policy(table: &str) -> Result<ViewPolicy, String> {
        Configuration::load(&ConfigSource::Text(format!("[proc_view]\n{table}")))
            .map(|configuration| configuration.proc_view)
            .map_err(|error| ballast_runtime::report(&error))
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(policy(""), Ok(ViewPolicy::default()));
    }

    #[test]
    fn settings_are_read() {
        let read = policy(
            "default = \"limited\"\nfiles = [\"meminfo\", \"cpu\"]\nrounding = \"down\"\nsysinfo = true\ncpu_view = \"cpuset\"",
        )
        .unwrap();
        assert_eq!(
            read,
            ViewPolicy {
                containers: Containers::Limited,
                files: Selection::parse("meminfo,cpu").unwrap(),
                rounding: Rounding::Down,
                sysinfo: true,
                cpu_view: CpuView::Cpuset,
            }
        );
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (table, name) in [
            ("defaults = \"on\"", "defaults"),
            ("default = \"yes\"", "yes"),
            ("sysinfo = \"on\"", "sysinfo"),
            ("cpu_view = \"affinity\"", "affinity"),
            ("files = [\"memory\"]", "memory"),
        ] {
            let error = policy(table).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
