//! Static builds of this workspace's programs and tests for the node.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::layout::Layout;
use crate::progress::StepLog;

/// An executable that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// The target's name: a program's, or an integration test's file name.
    pub name: String,
    /// What it was built from.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// The directory of its package, where cargo runs tests.
    pub package: PathBuf,
}

/// What an executable was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program.
    Program,
    /// The unit tests inside a library or a program.
    UnitTests,
    /// A file in `tests/`.
    IntegrationTest,
}

/// Runs `cargo <arguments>` with static linking and returns the executables it built (or found up to date).
///
/// # Errors
/// When cargo fails; its messages are in the log.
pub fn build_static(layout: &Layout, log: &mut StepLog, arguments: &[&str]) -> Result<Vec<Executable>> {
    let mut command = command(layout, arguments);
    command.args(["--message-format", "json-render-diagnostics"]);
    executables(&log.capture(&mut command)?)
}

/// `cargo <arguments>` with static linking: what one such call has built, the next finds.
#[must_use]
pub fn command(layout: &Layout, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .args(["--target", &target_triple()])
        // With --target, build scripts and macros are not affected by these flags.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", layout.target())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(layout.workspace());
    command
}

/// The same machine's triple, with glibc: its static form has no run-time dependency.
fn target_triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    manifest_path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn executables(messages: &str) -> Result<Vec<Executable>> {
    let mut found = Vec::new();
    for line in messages.lines() {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("cargo's message {line}"))?;
        let Message {
            executable: Some(path),
            target: Some(target),
            profile: Some(profile),
            manifest_path: Some(manifest),
        } = message
        else {
            continue;
        };
        let kind = match (profile.test, target.kind.concat().as_str()) {
            (false, _) => Kind::Program,
            (true, "test") => Kind::IntegrationTest,
            (true, _) => Kind::UnitTests,
        };
        let package = manifest.parent().map(Path::to_owned).unwrap_or_default();
        found.push(Executable { name: target.name, kind, path, package });
    }
    Ok(found)
}

/// The one called `name`.
///
/// # Errors
/// When cargo built none.
pub fn find(executables: &[Executable], name: &str) -> Result<PathBuf> {
    let program = |executable: &&Executable| executable.kind == Kind::Program && executable.name == name;
    match executables.iter().find(program) {
        Some(executable) => Ok(executable.path.clone()),
        None => bail!("cargo built no `{name}`"),
    }
}

/// Puts a program where the node looks for it, in one step: a node that runs the old one keeps it.
///
/// # Errors
/// When it cannot be copied.
pub fn install(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("install {} as {}", from.display(), to.display());
    let fresh = to.with_extension(format!("new-{}", std::process::id()));
    std::fs::copy(from, &fresh).with_context(context)?;
    std::fs::rename(&fresh, to).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_other_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde","kind":["lib"]},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"node-agent","kind":["bin"]},"profile":{"test":true},"#,
            r#""manifest_path":"/w/node/Cargo.toml","executable":"/t/node-agent-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"node-agent","kind":["bin"]},"profile":{"test":false},"#,
            r#""manifest_path":"/w/node/Cargo.toml","executable":"/t/node-agent"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"limits","kind":["test"]},"profile":{"test":true},"#,
            r#""manifest_path":"/w/limits/Cargo.toml","executable":"/t/limits-2"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = executables(messages).unwrap();
        assert_eq!(find(&found, "node-agent").unwrap(), PathBuf::from("/t/node-agent"));
        assert!(find(&found, "serde").unwrap_err().to_string().contains("serde"));
        let kinds: Vec<_> = found.iter().map(|executable| executable.kind).collect();
        assert_eq!(kinds, [Kind::UnitTests, Kind::Program, Kind::IntegrationTest]);
        assert_eq!(found[2].package, PathBuf::from("/w/limits"));
    }
}
