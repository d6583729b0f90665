//! One of the Go modules in `integration/tools`: which version of what it pins, and a hash of everything that
//! decides the build's result. Runs nothing but `go version`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::recipe::Recipe;

const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools");

/// A module directory and its `go.mod`.
pub(super) struct Module {
    directory: PathBuf,
    go_mod: String,
}

impl Module {
    /// Reads the module `name`.
    pub(super) fn read(name: &str) -> Result<Self> {
        let directory = Path::new(MODULES).join(name);
        let path = directory.join("go.mod");
        let go_mod = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self { directory, go_mod })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version at which this module pins `upstream`, for example `v1.2.3`.
    pub(super) fn version_of(&self, upstream: &str) -> Result<&str> {
        match required_version(&self.go_mod, upstream) {
            Some(version) => Ok(version),
            None => bail!("{}/go.mod requires no {upstream}", self.directory.display()),
        }
    }

    /// A hash, in hexadecimal digits, of the module's files, the recipe and the Go release.
    pub(super) fn hash(&self, recipe: &Recipe) -> Result<String> {
        let mut hash = Sha256::new();
        let mut add = |name: &str, content: &[u8]| {
            hash.update(format!("{name} {}\n", content.len()));
            hash.update(content);
        };
        add("recipe", format!("{recipe:?}").as_bytes());
        add("go", go_version(&self.directory)?.as_bytes());
        for path in self.files()? {
            let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            // Relative: where the sources lie does not decide the result.
            add(&path.strip_prefix(&self.directory).unwrap_or(&path).to_string_lossy(), &content);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Those of the packages within it as well.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            let context = || format!("list {}", directory.display());
            for entry in fs::read_dir(&directory).with_context(context)? {
                let path = entry.with_context(context)?.path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        Ok(files)
    }
}

fn go_version(directory: &Path) -> Result<String> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(directory)
        .env("GOTOOLCHAIN", "local")
        .output()
        .context("run `go env GOVERSION`; Go must be in PATH")?;
    if !output.status.success() {
        bail!("`go env GOVERSION`: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn required_version<'a>(go_mod: &'a str, upstream: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some(upstream)).then(|| words.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Tool;

    #[test]
    fn a_required_version_is_found_in_both_forms_of_the_directive() {
        let go_mod =
            "module m\n\nrequire a.example/x v1.2.3 // indirect\n\nrequire (\n\ta.example/x/v2 v2.0.1\n)\n";
        assert_eq!(required_version(go_mod, "a.example/x"), Some("v1.2.3"));
        assert_eq!(required_version(go_mod, "a.example/x/v2"), Some("v2.0.1"));
        assert_eq!(required_version(go_mod, "a.example/y"), None);
    }

    #[test]
    fn the_programs_that_are_our_own_pass_their_tests() {
        for (module, package) in [("cni", "./hostport"), ("cri-bench", ".")] {
            let output = Command::new("go")
                .args(["test", package])
                .current_dir(Path::new(MODULES).join(module))
                .env("GOTOOLCHAIN", "local")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }

    #[test]
    fn every_recipe_builds_from_a_module_that_pins_its_upstream() {
        for tool in Tool::ALL {
            let recipe = tool.recipe();
            let version =
                Module::read(recipe.module).unwrap().version_of(recipe.upstream).unwrap().to_owned();
            assert!(version.starts_with('v'), "{}: {version}", recipe.name);
        }
    }
}
