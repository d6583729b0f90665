//! systemd's view of the node, where it is PID 1.

use std::fs;
use std::path::Path;

use super::command::run;

/// Whether it is the service manager: sd_booted(3).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Runs systemctl; must succeed.
#[track_caller]
pub fn systemctl(arguments: &[&str]) -> String {
    run("systemctl", arguments).expect_success(&format!("systemctl {arguments:?}")).trim_end().to_owned()
}

/// A property of a unit.
#[track_caller]
pub fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--value", "--property", name, unit])
}

/// What pods have units of: scopes and slices, and whatever has failed. Nothing where systemd does not run.
pub(super) fn units() -> Vec<String> {
    if !is_running() {
        return Vec::new();
    }
    let list = ["list-units", "--all", "--full", "--plain", "--no-legend"];
    let mut lines = systemctl(&[&list[..], &["--type=scope,slice"]].concat());
    lines.push('\n');
    lines.push_str(&systemctl(&[&list[..], &["--state=failed"]].concat()));
    // Name, whether it is loaded, its state, its substate.
    lines
        .lines()
        .map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// A slice that kubelet would make for pods; stopped, with all that is in it, when dropped.
#[derive(Debug)]
pub struct Slice {
    /// Its unit's name.
    pub name: String,
}

impl Slice {
    /// Starts it.
    #[track_caller]
    pub fn start(name: String) -> Self {
        systemctl(&["start", &name]);
        Self { name }
    }

    /// A pod's `cgroup_parent`, as kubelet writes it: a path.
    pub fn cgroup_parent(&self) -> String {
        property(&self.name, "ControlGroup")
    }

    /// The names of the cgroups in it.
    pub fn children(&self) -> Vec<String> {
        let directory = format!("/sys/fs/cgroup{}", self.cgroup_parent());
        let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
        entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        let outcome = run("systemctl", &["stop", &self.name]);
        assert!(outcome.code == Some(0) || std::thread::panicking(), "{outcome:?}");
    }
}
