//! A rootfs whose files belong to other ids than on disk: the snapshotter's `uidmap=` and `gidmap=` options.
//!
//! containerd writes them for pods with a user namespace, so that all pods share one copy of an image. They are no options
//! of any file system: the layers are id-mapped mounts, and an overlay of those is the rootfs (Linux 5.19). Writable layers
//! were made with the right owners and stay as they are.

use super::{RootfsMount, unmount_at};
use crate::error::{CallContext, Error};
use crate::plan::PlanError;
use crate::sys::{MountAttributes, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use std::path::{Path, PathBuf};

/// The mappings of a mount, as lines of `uid_map` and `gid_map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) uids: String,
    pub(crate) gids: String,
}

/// Takes the mappings out of a mount's options; `None` when it has none.
pub(super) fn take_mappings(mount: &mut RootfsMount) -> Result<Option<Mappings>, PlanError> {
    let mut take = |prefix: &str| -> Result<String, PlanError> {
        let (ours, others) =
            mount.options.drain(..).partition::<Vec<_>, _>(|option| option.starts_with(prefix));
        mount.options = others;
        let lines = ours.iter().filter_map(|option| option.strip_prefix(prefix)).map(lines_of);
        lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.concat())
    };
    let (uids, gids) = (take("uidmap=")?, take("gidmap=")?);
    match (uids.is_empty(), gids.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(Mappings { uids, gids })),
        _ => Err(PlanError::invalid("rootfs.options", "uidmap", "goes with gidmap only")),
    }
}

/// `container:host:size`, several separated by commas, as lines of a map file.
fn lines_of(mappings: &str) -> Result<String, PlanError> {
    let line = |mapping: &str| -> Option<String> {
        let mut numbers = mapping.split(':').map(str::parse::<u32>);
        let (container, host, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        numbers.next().is_none().then(|| format!("{container} {host} {size}\n"))
    };
    let lines: Option<Vec<_>> = mappings.split(',').map(line).collect();
    lines
        .map(|lines| lines.concat())
        .ok_or_else(|| PlanError::invalid("rootfs.options", mappings, "is no list of container:host:size"))
}

/// Layers that are mounted, mapped, for as long as it takes to make an overlay of them.
#[derive(Debug)]
pub(super) struct MappedLayers {
    directory: PathBuf,
    layers: Vec<PathBuf>,
}

impl MappedLayers {
    /// Mounts the `lowerdir` layers of an overlay below `directory` and makes the option name them.
    pub(super) fn mount(
        mount: &mut RootfsMount,
        directory: PathBuf,
        user_namespace: BorrowedFd<'_>,
    ) -> Result<Self, Error> {
        let mut mapped = Self { directory, layers: Vec::new() };
        let Some(option) = mount.options.iter_mut().find(|option| option.starts_with("lowerdir=")) else {
            return Ok(mapped);
        };
        let result = mapped.mount_all(option.trim_start_matches("lowerdir="), user_namespace);
        if let Err(error) = result {
            return Err(error.with_cleanup(mapped.unmount().err().into_iter().collect()));
        }
        let names: Vec<_> = mapped.layers.iter().map(|layer| layer.display().to_string()).collect();
        *option = format!("lowerdir={}", names.join(":"));
        Ok(mapped)
    }

    fn mount_all(&mut self, layers: &str, user_namespace: BorrowedFd<'_>) -> Result<(), Error> {
        make_directory(&self.directory).call("mkdir", || self.directory.display().to_string())?;
        for (index, layer) in layers.split(':').enumerate() {
            let place = self.directory.join(index.to_string());
            make_directory(&place).call("mkdir", || place.display().to_string())?;
            self.layers.push(place.clone());
            let tree = mapped_clone(Path::new(layer), user_namespace, OpenTreeFlags::empty())?;
            move_mount(&tree, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .call("move_mount", || place.display().to_string())?;
        }
        Ok(())
    }

    /// The overlay holds what it needs of them; the mounts and their directories are not needed any more.
    pub(super) fn unmount(self) -> Result<(), Error> {
        for layer in &self.layers {
            unmount_at(layer)?;
            remove_directory(layer)?;
        }
        remove_directory(&self.directory)
    }
}

/// A clone of the mount at `source` with its ids mapped, attached nowhere.
pub(super) fn mapped_clone(
    source: &Path,
    user_namespace: BorrowedFd<'_>,
    further: OpenTreeFlags,
) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | further;
    let tree = open_tree(CWD, source, flags).call("open_tree", || source.display().to_string())?;
    let recursive = further.contains(OpenTreeFlags::AT_RECURSIVE);
    mount_setattr(tree.as_fd(), MountAttributes::default(), Some(user_namespace), recursive)
        .call("mount_setattr", || format!("{}, MOUNT_ATTR_IDMAP", source.display()))?;
    Ok(tree)
}

fn make_directory(path: &Path) -> Result<(), Errno> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result.call("rmdir", || path.display().to_string())?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount_with(options: &[&str]) -> RootfsMount {
        RootfsMount {
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..RootfsMount::default()
        }
    }

    #[test]
    fn the_mappings_are_taken_out_of_the_options() {
        let mut mount = mount_with(&["uidmap=0:1000:100000", "gidmap=0:2000:5,10:3000:1", "lowerdir=/a:/b"]);
        let mappings = take_mappings(&mut mount).unwrap().unwrap();
        assert_eq!(
            mappings,
            Mappings { uids: "0 1000 100000\n".into(), gids: "0 2000 5\n10 3000 1\n".into() }
        );
        assert_eq!(mount.options, ["lowerdir=/a:/b"]);
    }

    #[test]
    fn a_mapping_that_is_none_is_refused_with_its_text() {
        for options in [&["uidmap=0:1000"][..], &["uidmap=0:x:1", "gidmap=0:1:1"], &["uidmap=0:1:1"]] {
            assert!(take_mappings(&mut mount_with(options)).is_err(), "{options:?}");
        }
    }
}
