//! What the images in a registry directory were made from: one small file beside them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = "inputs";
const PACKAGE_LISTS: &str = "/var/lib/apt/lists";

/// Hashes of the inputs, and when they were last compared with what there is.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) recipe: String,
    pub(super) versions: String,
    /// Seconds since 1970.
    checked_at: i64,
}

impl Inputs {
    /// What the images in `directory` were made from; nothing when there are none, or none that are complete.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let path = directory.join(FILE);
        let text = fs::read_to_string(&path).ok()?;
        let (recipe, versions) = text.trim_end().split_once('\n')?;
        let checked_at = path.metadata().ok()?.mtime();
        Some(Self { recipe: recipe.to_owned(), versions: versions.to_owned(), checked_at })
    }

    /// Declares the images in `directory` complete and made from these inputs, as of now.
    pub(super) fn write(directory: &Path, recipe: &str, versions: &str) -> Result<()> {
        let path = directory.join(FILE);
        fs::write(&path, format!("{recipe}\n{versions}\n"))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Whether apt's package lists were written since. Asking apt itself takes seconds.
    pub(super) fn may_have_new_packages(&self) -> bool {
        newest_change(Path::new(PACKAGE_LISTS)).is_none_or(|changed_at| changed_at >= self.checked_at)
    }
}

/// The latest change of a directory or of an entry; the modification times of apt's lists are their servers'.
fn newest_change(directory: &Path) -> Option<i64> {
    let mut newest = directory.metadata().ok()?.ctime();
    for entry in fs::read_dir(directory).ok()? {
        newest = newest.max(entry.ok()?.metadata().ok()?.ctime());
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ballast-inputs-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn inputs_are_read_as_they_were_written() {
        let directory = directory("round-trip");
        assert!(Inputs::read(&directory).is_none());
        Inputs::write(&directory, "recipe", "versions").unwrap();
        let inputs = Inputs::read(&directory).unwrap();
        assert_eq!((inputs.recipe.as_str(), inputs.versions.as_str()), ("recipe", "versions"));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_changes_makes_its_directory_newer() {
        let directory = directory("newest");
        let file = directory.join("list");
        fs::write(&file, "").unwrap();
        assert!(newest_change(&directory).unwrap() >= file.metadata().unwrap().ctime());
        assert_eq!(newest_change(&directory.join("missing")), None);
        fs::remove_dir_all(&directory).unwrap();
    }
}
