//! The container's root file system on the host: mounted in the bundle from what the snapshotter gave, and unmounted.
//!
//! It is mounted where people and hooks look for it, `<bundle>/rootfs`, and cloned from there for the container.

mod id_mapped;

use crate::error::{CallContext, CallError, Error};
use crate::plan::rootfs_mount_flags;
use crate::spawn::Spawner;
use crate::sys::{MountAttributes, mount_setattr};
use id_mapped::MappedLayers;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, unmount,
};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One mount of the Create request's rootfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootfsMount {
    /// File system type, or `bind`.
    pub kind: String,
    /// Device, directory, or a word for file systems without either.
    pub source: String,
    /// Path below the rootfs; empty for the rootfs itself.
    pub target: String,
    /// Options as `mount(8)` writes them.
    pub options: Vec<String>,
}

/// Mounts that this shim made and has to undo.
#[derive(Debug, Default)]
pub(crate) struct MountedRootfs {
    /// In the order in which they were mounted.
    targets: Vec<PathBuf>,
}

impl MountedRootfs {
    /// Mounts all on `directory`, which is made if missing. What was mounted before a failure is unmounted again.
    pub(crate) fn mount(
        mounts: Vec<RootfsMount>,
        directory: &Path,
        spawner: &Spawner,
    ) -> Result<Self, Error> {
        let mut mounted = Self::default();
        if mounts.is_empty() {
            return Ok(mounted);
        }
        make_directory(directory)?;
        for plan in mounts {
            let target = directory.join(plan.target.trim_start_matches('/'));
            if let Err(error) = mount_mapped(plan, &target, spawner) {
                return match mounted.unmount() {
                    Ok(()) => Err(error),
                    Err(cleanup) => Err(error.with_cleanup(vec![cleanup.into()])),
                };
            }
            mounted.targets.push(target);
        }
        Ok(mounted)
    }

    /// Unmounts what is still mounted, the last first. The mounts disappear at once; whoever still uses them keeps them
    /// alive for itself.
    pub(crate) fn unmount(&mut self) -> Result<(), CallError> {
        while let Some(target) = self.targets.last() {
            unmount_at(target)?;
            self.targets.pop();
        }
        Ok(())
    }
}

/// Unmounts everything stacked on `target`. Nothing mounted, or no such directory, is fine.
pub(crate) fn unmount_at(target: &Path) -> Result<(), CallError> {
    loop {
        match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).call("umount2", || format!("{}, MNT_DETACH", target.display())),
        }
    }
}

fn make_directory(directory: &Path) -> Result<(), CallError> {
    match mkdirat(CWD, directory, Mode::from_raw_mode(0o711)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).call("mkdir", || directory.display().to_string()),
    }
}

/// Mounts with the ids that the options ask for.
fn mount_mapped(mut plan: RootfsMount, target: &Path, spawner: &Spawner) -> Result<(), Error> {
    let Some(mappings) = id_mapped::take_mappings(&mut plan)? else { return mount_one(&plan, target) };
    let user_namespace = spawner.make_user_namespace(mappings.uids, mappings.gids)?;
    if plan.kind != "overlay" {
        let recursion = if plan.options.iter().any(|o| o == "rbind") {
            OpenTreeFlags::AT_RECURSIVE
        } else {
            OpenTreeFlags::empty()
        };
        let tree = id_mapped::mapped_clone(Path::new(&plan.source), user_namespace.as_fd(), recursion)?;
        if plan.options.iter().any(|option| option == "ro") {
            mount_setattr(tree.as_fd(), MountAttributes::READ_ONLY, None, false)
                .call("mount_setattr", || format!("{}, read-only", plan.source))?;
        }
        move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .call("move_mount", || target.display().to_string())?;
        return Ok(());
    }
    let directory = target.with_file_name("mapped-layers");
    let layers = MappedLayers::mount(&mut plan, directory, user_namespace.as_fd())?;
    match (mount_one(&plan, target), layers.unmount()) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(error)) => {
            Err(error.with_cleanup(unmount_at(target).err().map(Error::from).into_iter().collect()))
        }
        (Err(error), cleanup) => Err(error.with_cleanup(cleanup.err().into_iter().collect())),
    }
}

fn mount_one(plan: &RootfsMount, target: &Path) -> Result<(), Error> {
    let (flags, data) = rootfs_mount_flags(&plan.options)?;
    let describe = || format!("{:?}, {}, {:?}, {:?}", plan.source, target.display(), plan.kind, plan.options);
    let is_bind = plan.kind == "bind" || flags.contains(MountFlags::BIND);
    if is_bind {
        let bind = flags.difference(READ_ONLY_AND_FRIENDS) | MountFlags::BIND;
        mount(plan.source.as_str(), target, "", bind, None).call("mount", describe)?;
        let restrictions = flags.intersection(READ_ONLY_AND_FRIENDS);
        if restrictions.is_empty() {
            return Ok(());
        }
        let result = rustix::mount::mount_remount(target, MountFlags::BIND | restrictions, c"");
        let remounted = result.call("mount", || format!("{}, remount {restrictions:?}", target.display()));
        return remounted.map_err(|error| {
            let cleanup = unmount_at(target).err().map(Error::from);
            Error::from(error).with_cleanup(cleanup.into_iter().collect())
        });
    }
    mount_in_pages(plan, target, flags, data).call("mount", describe)?;
    Ok(())
}

/// `mount(2)` takes at most a page of options, which an image of many layers exceeds.
fn mount_in_pages(plan: &RootfsMount, target: &Path, flags: MountFlags, data: String) -> Result<(), Errno> {
    const PAGE_BYTES: usize = 4096;
    if data.len() < PAGE_BYTES - 1 {
        let data = CString::new(data).map_err(|_| Errno::INVAL)?;
        return mount(plan.source.as_str(), target, plan.kind.as_str(), flags, Some(&*data));
    }
    mount_by_context(plan, target, flags)
}

/// The same with one call per option, and one per overlay layer (Linux 6.5), so that nothing has to fit a page.
fn mount_by_context(plan: &RootfsMount, target: &Path, flags: MountFlags) -> Result<(), Errno> {
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
        fsmount, fsopen, move_mount,
    };
    let context = fsopen(plan.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", plan.source.as_str())?;
    for option in &plan.options {
        match option.split_once('=') {
            Some(("lowerdir", layers)) => {
                for layer in layers.split(':') {
                    fsconfig_set_string(&context, "lowerdir+", layer)?;
                }
            }
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            // Mount flags are given to fsmount below.
            None if flags_of(option) => {}
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    let mut attributes = MountAttrFlags::empty();
    for (flag, attribute) in [
        (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ] {
        if flags.contains(flag) {
            attributes |= attribute;
        }
    }
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn flags_of(option: &str) -> bool {
    crate::plan::KNOWN_MOUNT_OPTIONS.contains(&option)
}

const READ_ONLY_AND_FRIENDS: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// For the container: a clone of what is mounted at `path`, with everything below it.
pub(crate) fn path_for_kernel(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}
