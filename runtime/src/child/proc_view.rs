//! Puts the files of the container's view in the place of the kernel's.

use super::Context;
use super::rootfs::{Rootfs, attach};
use crate::error::{StepContext, StepError};
use crate::plan::wire::ProcViewPlan;
use crate::proc_view::{CPU_INFO, CPUS, look_all_up};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
use rustix::process::fchdir;
use std::ffi::CStr;

/// A directory of the kernel's own files. Names in it are the kernel's, not links and not the image's, so that they can be
/// used without being looked at.
struct KernelDirectory {
    path: &'static CStr,
    /// Linux `include/uapi/linux/magic.h`.
    magic: i64,
}

const PROCFS: KernelDirectory = KernelDirectory { path: c"/proc", magic: 0x9fa0 };
const SYSFS_CPUS: KernelDirectory = KernelDirectory { path: c"/sys/devices/system/cpu", magic: 0x6265_6572 };

impl KernelDirectory {
    /// Opens it where it is what it should be.
    fn open(&self, rootfs: &Rootfs<'_>) -> Result<Option<OwnedFd>, StepError> {
        let open = || match rootfs.open_without_symlinks(self.path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno),
            Ok(directory) => Ok((fstatfs(&directory)?.f_type == self.magic).then_some(directory)),
        };
        open().step(|| format!("open {}", text(self.path)))
    }
}

/// Covers what the kernel has. A `/proc` that is none stays as it is.
pub(super) fn place(
    rootfs: &Rootfs<'_>,
    plan: &ProcViewPlan,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let pieces = Pieces::take(rootfs, plan, context)?;
    pieces.cover(rootfs, |_, _| Ok(true))?;
    pieces.be_done_with(rootfs);
    Ok(())
}

/// A view, each of its files a tree of its own.
pub(super) struct Pieces<'a> {
    /// What goes below `/proc`, and where.
    of_procfs: Vec<(&'a str, Tree<'a>)>,
    /// What goes over the directory of the CPUs.
    cpus: Option<OwnedFd>,
}

enum Tree<'a> {
    Taken(OwnedFd),
    Given(BorrowedFd<'a>),
}

impl AsFd for Tree<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Taken(tree) => tree.as_fd(),
            Self::Given(tree) => *tree,
        }
    }
}

impl<'a> Pieces<'a> {
    /// Takes a view apart; `rootfs` is of a mount namespace that nobody else is in.
    pub(super) fn take(
        rootfs: &Rootfs<'_>,
        plan: &'a ProcViewPlan,
        context: &'a Context<'_>,
    ) -> Result<Self, StepError> {
        let take_apart = || "take apart the view of /proc".into();
        let mut pieces = Self { of_procfs: Vec::new(), cpus: None };
        if let Some((view, shown)) = &plan.live {
            let names = shown.iter().map(|file| file.name());
            let trees = DirectoryOfView::open(context.descriptor(*view)?, &plan.directory, OFlags::RDONLY)
                .and_then(|directory| look_all_up(&directory.directory).map(|()| directory))
                .and_then(|directory| directory.take_apart(rootfs, names.clone()))
                .step(take_apart)?;
            pieces.of_procfs.extend(names.zip(trees.into_iter().map(Tree::Taken)));
        }
        if let Some((view, shown)) = &plan.lasting {
            let names = [(shown.cpuinfo, CPU_INFO), (shown.cpus, CPUS)];
            let names = names.into_iter().filter(|(is_shown, _)| *is_shown).map(|(_, name)| name);
            let trees = DirectoryOfView::open(context.descriptor(*view)?, &plan.directory, OFlags::PATH)
                .and_then(|directory| directory.take_apart(rootfs, names.clone()))
                .step(take_apart)?;
            for (name, tree) in names.zip(trees) {
                if name == CPUS {
                    pieces.cpus = Some(tree);
                } else {
                    pieces.of_procfs.push((name, Tree::Taken(tree)));
                }
            }
        }
        for (tree, name) in &plan.trees {
            let name = name.to_str().unwrap_or_default();
            pieces.of_procfs.push((name, Tree::Given(context.descriptor(*tree)?)));
        }
        Ok(pieces)
    }

    /// Covers what the kernel has and `may_cover` admits, of a directory and a name in it. Returns the paths.
    pub(super) fn cover(
        &self,
        rootfs: &Rootfs<'_>,
        may_cover: impl Fn(&OwnedFd, &str) -> Result<bool, StepError>,
    ) -> Result<Vec<String>, StepError> {
        let mut covered = Vec::new();
        if let Some(procfs) = PROCFS.open(rootfs)? {
            for (name, tree) in &self.of_procfs {
                if may_cover(&procfs, name)? && cover(&procfs, name, tree.as_fd())? {
                    covered.push(format!("/proc/{name}"));
                }
            }
            rootfs.done_with(procfs);
        }
        if let Some(cpus) = &self.cpus
            && let Some(directory) = SYSFS_CPUS.open(rootfs)?
        {
            attach(cpus, &directory).step(|| format!("cover {}", text(SYSFS_CPUS.path)))?;
            covered.push(text(SYSFS_CPUS.path).into_owned());
            rootfs.done_with(directory);
        }
        Ok(covered)
    }

    fn be_done_with(self, rootfs: &Rootfs<'_>) {
        let taken = self.of_procfs.into_iter().filter_map(|(_, tree)| match tree {
            Tree::Taken(tree) => Some(tree),
            Tree::Given(_) => None,
        });
        taken.chain(self.cpus).for_each(|tree| rootfs.done_with(tree));
    }
}

/// The container's directory in one of the file systems of a pod's views.
struct DirectoryOfView<'a> {
    tree: BorrowedFd<'a>,
    directory: OwnedFd,
}

impl<'a> DirectoryOfView<'a> {
    fn open(tree: BorrowedFd<'a>, name: &CStr, access: OFlags) -> Result<Self, Errno> {
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { tree, directory: openat(tree, name, flags, Mode::empty())? })
    }

    /// A tree of each name. Before Linux 6.15 they can be cloned of an attached mount only, so it is attached for that moment, in
    /// this mount namespace that nobody else is in.
    fn take_apart<'n>(
        self,
        rootfs: &Rootfs<'_>,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<Vec<OwnedFd>, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let clone_each = || names.clone().map(|name| open_tree(&self.directory, name, flags)).collect();
        let trees = match clone_each() {
            Err(Errno::INVAL) => while_attached(rootfs, self.tree, clone_each),
            trees => trees,
        };
        rootfs.done_with(self.directory);
        trees
    }
}

fn while_attached<T>(
    rootfs: &Rootfs<'_>,
    view: BorrowedFd<'_>,
    step: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let place = rootfs.open(c"/", OFlags::PATH | OFlags::DIRECTORY)?;
    attach(view, &place)?;
    let done = step();
    fchdir(view)?;
    unmount(".", UnmountFlags::DETACH)?;
    fchdir(rootfs.as_fd())?;
    done
}

/// Whether there is something to cover.
fn cover(place: &OwnedFd, name: &str, tree: BorrowedFd<'_>) -> Result<bool, StepError> {
    match move_mount(tree, c"", place, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH) {
        // A kernel without it.
        Err(Errno::NOENT) => Ok(false),
        result => result.map(|()| true).step(|| format!("cover {name} with the container's view")),
    }
}

fn text(path: &CStr) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}
