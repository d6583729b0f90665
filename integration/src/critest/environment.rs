//! What the suite runs against: versions for the report, and what the container engine offers. Reads, changes nothing.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::place::Place;

/// Where containerd's NRI plugins connect by default.
const NRI_SOCKET: &str = "/var/run/nri/nri.sock";

/// What ran, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment {
    /// Each a name and a value, in the order in which they are shown.
    pub(super) facts: Vec<(String, String)>,
}

impl Environment {
    pub(super) fn of(place: &Place, handlers: &[&str]) -> Result<Self> {
        let node = match place {
            Place::Node(node) if node.shares_the_kernel() => "this machine's kernel, in namespaces",
            Place::Node(_) => "user-mode Linux",
            Place::Here(_) => "this machine",
        };
        let mut facts = vec![
            ("critest".to_owned(), critest_version(place)?),
            ("Linux".to_owned(), format!("{} ({node})", place.output(&["uname", "-r"])?.trim())),
        ];
        facts.push(engine_version(place)?);
        if let Place::Node(_) = place {
            let init = place.output(&["cat", "/proc/1/comm"])?;
            facts.push(("PID 1".to_owned(), init.trim().to_owned()));
            for handler in handlers {
                facts
                    .extend(handler_version(place, handler)?.map(|version| ((*handler).to_owned(), version)));
            }
        }
        Ok(Self { facts })
    }
}

fn critest_version(place: &Place) -> Result<String> {
    let output = place.output(&["critest", "--version"])?;
    let version = output.lines().find_map(|line| line.strip_prefix("critest version: "));
    Ok(version.with_context(|| format!("critest's version in {output:?}"))?.to_owned())
}

/// The container engine's own name and version.
fn engine_version(place: &Place) -> Result<(String, String)> {
    let output = crictl(place, "version")?;
    let field = |name: &str| {
        let value = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned()).with_context(|| format!("crictl's {name} in {output:?}"))
    };
    Ok((field("RuntimeName")?, field("RuntimeVersion")?))
}

/// The version of a handler that the project's node is known to have.
fn handler_version(place: &Place, handler: &str) -> Result<Option<String>> {
    match handler {
        "ballast" => {
            let output = place.output(&["containerd-shim-ballast-v2", "-v"])?;
            let field =
                |name: &str| output.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
            let revision = field("Revision:").filter(|revision| *revision != "unknown");
            Ok(field("Version:")
                .map(|version| [Some(version), revision].into_iter().flatten().collect::<Vec<_>>().join(" ")))
        }
        "runc" | "crun" => {
            let output = place.output(&[handler, "--version"])?;
            Ok(output.split_whitespace().nth(2).map(str::to_owned))
        }
        _ => Ok(None),
    }
}

/// # Errors
/// When the container engine tells its handlers and one is not among them.
pub(super) fn check_handlers(place: &Place, wanted: &[&str]) -> Result<()> {
    let offered = handlers(&crictl(place, "info")?)?;
    for handler in wanted {
        if !offered.is_empty() && !offered.contains(*handler) {
            let offered: Vec<_> = offered.iter().map(String::as_str).collect();
            bail!("no runtime handler is called {handler}; there are: {}", offered.join(", "));
        }
    }
    Ok(())
}

/// The handlers that CRI's status names, and those in the status that only containerd gives. Empty when none are told.
fn handlers(info: &str) -> Result<BTreeSet<String>> {
    let info: Value = serde_json::from_str(info).context("parse `crictl info`")?;
    let told = info["runtimeHandlers"].as_array().into_iter().flatten();
    let mut names: BTreeSet<String> = told
        .filter_map(|handler| handler["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned))
        .collect();
    names.extend(
        info["config"]["containerd"]["runtimes"].as_object().into_iter().flat_map(|map| map.keys().cloned()),
    );
    Ok(names)
}

/// The socket to give to critest: the wanted one, or the place's own when this critest has NRI specs.
///
/// # Errors
/// When one is wanted and critest has no NRI specs.
pub(super) fn nri_socket(place: &Place, wanted: Option<&str>) -> Result<Option<String>> {
    let help = place.output(&["sh", "-c", "critest --help 2>&1; true"])?;
    if !help.lines().any(|line| line.trim_start().trim_start_matches('-').starts_with("nri-socket")) {
        if wanted.is_some() {
            bail!(
                "this critest ({}) has no NRI specs, so --nri-socket changes nothing",
                critest_version(place)?
            );
        }
        return Ok(None);
    }
    if let Some(path) = wanted {
        return Ok(Some(path.to_owned()));
    }
    let found = place.output(&["sh", "-c", "test ! -S \"$1\" || echo \"$1\"", "find", NRI_SOCKET])?;
    Ok(Some(found.trim().to_owned()).filter(|path| !path.is_empty()))
}

fn crictl(place: &Place, verb: &str) -> Result<String> {
    let endpoint = place.endpoint();
    // Not the person's configuration file.
    place.output(&[
        "crictl",
        "--config=/dev/null",
        "--runtime-endpoint",
        endpoint,
        "--image-endpoint",
        endpoint,
        verb,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_read_from_what_cri_says_and_from_what_containerd_says() {
        let cri = r#"{"runtimeHandlers": [{"features": {}}, {"name": "runc"}, {"name": "mine"}]}"#;
        assert_eq!(handlers(cri).unwrap(), BTreeSet::from(["runc".to_owned(), "mine".to_owned()]));
        let containerd = r#"{"config": {"containerd": {"runtimes": {"runc": {}, "crun": {}}}}}"#;
        assert_eq!(handlers(containerd).unwrap(), BTreeSet::from(["runc".to_owned(), "crun".to_owned()]));
        assert_eq!(handlers("{}").unwrap(), BTreeSet::new());
    }
}
