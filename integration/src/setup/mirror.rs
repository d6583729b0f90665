//! Where this machine gets Debian's packages from; the node's come from there, too.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Every Debian machine has it, and has it from Debian itself.
const PACKAGE: &str = "base-files";

/// The mirror of this machine's own release. apt's lists are updated when they do not say.
///
/// # Errors
/// When apt knows none.
pub(super) fn uri() -> Result<String> {
    if let Some(uri) = ask()? {
        return Ok(uri);
    }
    let updated =
        Command::new("apt-get").args(["--quiet", "update"]).output().context("run apt-get update")?;
    match ask()? {
        Some(uri) => Ok(uri),
        None => bail!(
            "apt knows no mirror that has {PACKAGE}; apt-get update said: {}",
            String::from_utf8_lossy(&updated.stderr).trim_end()
        ),
    }
}

fn ask() -> Result<Option<String>> {
    let output =
        Command::new("apt-cache").args(["policy", PACKAGE]).output().context("run apt-cache policy")?;
    Ok(find(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines of sources read `PRIORITY URI SUITE/COMPONENT ARCHITECTURE Packages`. Security updates have a mirror of their own
/// that lacks everything else.
fn find(policy: &str) -> Option<String> {
    policy.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let uri = words.nth(1).filter(|word| word.contains("://"))?;
        let suite = words.next()?;
        (suite.ends_with("/main") && !suite.contains("-security")).then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_mirror_is_the_one_that_the_release_comes_from() {
        let policy = "base-files:\n  Installed: 12.4\n  Version table:\n     12.5 500\n        \
                      500 http://mirror.test/debian-security bookworm-security/main amd64 Packages\n        \
                      500 http://mirror.test/debian bookworm/main amd64 Packages\n *** 12.4 100\n        \
                      100 /var/lib/dpkg/status\n";
        assert_eq!(find(policy).as_deref(), Some("http://mirror.test/debian"));
    }

    #[test]
    fn without_lists_there_is_none() {
        assert_eq!(
            find("base-files:\n  Version table:\n *** 12.4 100\n        100 /var/lib/dpkg/status\n"),
            None
        );
    }
}
