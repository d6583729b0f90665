//! Debian packages as a source of files: apt says which version there is and fetches it, `dpkg-deb` unpacks it.
//! Dependencies are not resolved: a layer names each package that it needs, so that an image holds no more than that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::tree::Tree;
use crate::progress::StepLog;

/// What packages bring along that a container does not need. Paths are relative and match with what is below them.
const UNWANTED: &[&str] = &[
    "etc/cron.daily",
    "etc/init.d",
    "etc/logrotate.d",
    "etc/pam.d",
    "lib/systemd",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/initramfs-tools",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
];

/// Debian's own packages come first, whatever else apt has been told of and whatever is installed: another archive's package
/// of the same name needs other libraries.
const PREFERENCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/apt-preferences");

/// The versions that apt would fetch now.
#[derive(Debug)]
pub(super) struct Packages {
    /// Package name to the archive's file name and hash, as apt prints them.
    archives: BTreeMap<String, Archive>,
    cache_directory: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
struct Archive {
    file_name: String,
    hash: String,
}

impl Packages {
    /// Asks apt for the archives of `names`; fetches nothing.
    pub(super) fn resolve(names: &[&str], cache_directory: PathBuf) -> Result<Self> {
        let output = apt_download(names)
            .arg("--print-uris")
            .output()
            .context("run apt-get; the images are built from Debian packages")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut archives: BTreeMap<_, _> = text.lines().filter_map(parse_uri).collect();
        archives.retain(|name, _| names.contains(&name.as_str()));
        if let Some(missing) = names.iter().find(|name| !archives.contains_key(**name)) {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!("apt knows no package {missing} (`apt-get update` may be needed): {}", reason.trim());
        }
        Ok(Self { archives, cache_directory })
    }

    /// One line per package, with version and hash.
    pub(super) fn fingerprint(&self) -> String {
        self.archives.values().map(|archive| format!("{} {}\n", archive.file_name, archive.hash)).collect()
    }

    /// Fetches the archives that are not in the cache yet.
    pub(super) fn fetch(&self, log: &mut StepLog) -> Result<()> {
        let directory = &self.cache_directory;
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let missing: Vec<&str> = self
            .archives
            .iter()
            .filter(|(_, archive)| !directory.join(&archive.file_name).exists())
            .map(|(name, _)| name.as_str())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        log.run(apt_download(&missing).current_dir(directory))
    }

    /// Adds the files of the package `name` to `tree`.
    pub(super) fn unpack(&self, name: &str, tree: &mut Tree) -> Result<()> {
        let archive = self.archives.get(name).with_context(|| format!("{name} was not resolved"))?;
        let path = self.cache_directory.join(&archive.file_name);
        unpack(&path, tree).with_context(|| format!("unpack {}", path.display()))
    }
}

fn apt_download(names: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // The sandbox user may not write to the cache directory; apt checks the hashes in any case.
    command.args(["-q", "-o", "APT::Sandbox::User=root"]);
    command.arg("-o").arg(format!("Dir::Etc::preferences={PREFERENCES}"));
    command.arg("download").args(names);
    command
}

/// Parses `'URI' FILE SIZE HASH`; the package's name is what stands before the first underscore.
fn parse_uri(line: &str) -> Option<(String, Archive)> {
    let mut words = line.strip_prefix('\'')?.split_whitespace().skip(1);
    let file_name = words.next()?;
    let hash = words.nth(1)?;
    let name = file_name.split('_').next()?;
    Some((name.to_owned(), Archive { file_name: file_name.to_owned(), hash: hash.to_owned() }))
}

fn unpack(path: &Path, tree: &mut Tree) -> Result<()> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let stream = child.stdout.take().context("dpkg-deb has no standard output")?;
    let added = tree.extend_from_tar(stream, is_wanted);
    let status = child.wait().context("wait for dpkg-deb")?;
    if !status.success() {
        bail!("dpkg-deb: {status}");
    }
    added
}

fn is_wanted(path: &str) -> bool {
    !UNWANTED.iter().any(|unwanted| {
        path.strip_prefix(unwanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_off_apts_line() {
        let line = "'http://mirror.example/pool/main/d/dash/dash_0.5.12-2_amd64.deb' dash_0.5.12-2_amd64.deb 91848 SHA256:33ea";
        let expected = Archive { file_name: "dash_0.5.12-2_amd64.deb".into(), hash: "SHA256:33ea".into() };
        assert_eq!(parse_uri(line), Some(("dash".to_owned(), expected)));
        assert_eq!(parse_uri("E: Unable to locate package nix"), None);
    }

    #[test]
    fn documentation_is_unwanted_but_a_name_that_only_begins_alike_is_not() {
        assert!(!is_wanted("usr/share/doc/dash/copyright"));
        assert!(!is_wanted("usr/share/man"));
        assert!(is_wanted("usr/share/manifest"));
    }
}
