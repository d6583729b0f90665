//! Keeping built things: a lock between concurrent runs, keys that say what a thing was built from, and
//! replacement in one step.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

/// Held while the cache is changed; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for other runs to finish their set-up.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn acquire(path: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("open the lock {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("  waiting for another run to finish its set-up");
            flock(&file, FlockOperation::LockExclusive)
                .with_context(|| format!("lock {}", path.display()))?;
        }
        Ok(Self { _file: file })
    }
}

/// What something was built from, as a short name.
#[derive(Debug, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds an input.
    #[must_use]
    pub fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update(input.len().to_le_bytes());
        self.0.update(input);
        self
    }

    /// Adds a file's content, a link's target or, for a directory, that of every file below it with its name.
    ///
    /// # Errors
    /// When something there cannot be read.
    pub fn with_tree(mut self, path: &Path) -> Result<Self> {
        let context = || format!("read {}", path.display());
        if path.is_symlink() {
            return Ok(self.with(fs::read_link(path).with_context(context)?.as_os_str().as_encoded_bytes()));
        }
        if !path.is_dir() {
            return Ok(self.with(fs::read(path).with_context(context)?));
        }
        let mut entries = fs::read_dir(path)
            .with_context(context)?
            .collect::<io::Result<Vec<_>>>()
            .with_context(context)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self = self.with(entry.file_name().as_encoded_bytes()).with_tree(&entry.path())?;
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Removes a file or a whole directory; what is not there is fine.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what in `directory` has a name that starts with `prefix`, except the `keep` entries used last. Those are
/// kept for other runs, which may have built from other inputs and not have opened theirs yet.
///
/// # Errors
/// When the directory cannot be read or something cannot be removed.
pub fn remove_unused(directory: &Path, prefix: &str, keep: usize) -> Result<()> {
    let context = || format!("read {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push((
                entry.metadata().with_context(context)?.modified().with_context(context)?,
                entry.path(),
            ));
        }
    }
    found.sort();
    found.iter().rev().skip(keep).try_for_each(|(_, path)| remove(path))
}

/// Marks a cached thing as used now, for [`remove_unused`].
///
/// # Errors
/// When its time cannot be set.
pub fn mark_used(path: &Path) -> Result<()> {
    let now = fs::FileTimes::new().set_modified(SystemTime::now());
    File::open(path).and_then(|file| file.set_times(now)).with_context(|| format!("touch {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_apart_inputs_that_are_joined_differently() {
        let key = |inputs: &[&str]| inputs.iter().fold(Key::default(), |key, input| key.with(input)).finish();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
    }

    #[test]
    fn only_what_was_not_used_lately_is_removed() {
        let directory = std::env::temp_dir().join(format!("ballast-cache-{}", std::process::id()));
        fs::create_dir_all(directory.join("tree-old/inside")).unwrap();
        let long_ago = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        File::open(directory.join("tree-old")).unwrap().set_times(long_ago).unwrap();
        for name in ["tree-new", "image-old"] {
            File::create(directory.join(name)).unwrap().set_times(long_ago).unwrap();
        }
        mark_used(&directory.join("tree-new")).unwrap();
        remove_unused(&directory, "tree-", 1).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["image-old", "tree-new"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
