//! `mounts`: file systems to be made in the container's namespaces, and trees bound from the host.
//!
//! A bind source is opened and cloned here, in the host's mount namespace and with the shim's rights, and its attributes
//! are set while the clone is attached nowhere. The container's process only attaches it: it needs no path of the host,
//! and no moment exists in which a read-only volume can be written.

use super::mount_options::{Bind, IdMapping, MountOptions};
use super::wire::{MountPlan, MountSource};
use super::{IdMaps, PlanError, absolute_path, c_string};
use crate::spawn::Descriptors;
use crate::sys::{MountAttributes, mount_setattr};
use oci_spec::runtime::{Mount, Spec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, open_tree};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes the user namespaces that id-mapped mounts are mapped by, and knows the container's own.
pub(crate) trait Binder {
    /// The container's user namespace, if it has one.
    fn container_user_namespace(&self) -> Option<&OwnedFd>;
    /// A user namespace with these mappings.
    fn user_namespace(&self, maps: IdMaps<'_>) -> Result<OwnedFd, crate::Error>;
}

/// Plans every mount in order. Relative bind sources are the bundle's.
pub(crate) fn plan_mounts(
    spec: &Spec,
    bundle: &Path,
    binder: &impl Binder,
    descriptors: &mut Descriptors<'_>,
) -> Result<Vec<MountPlan>, crate::Error> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    mounts
        .iter()
        .enumerate()
        .map(|(index, mount)| {
            let field = format!("mounts[{index}]");
            let options = mount.options().as_deref().unwrap_or_default();
            let options = MountOptions::parse(&format!("{field}.options"), options)?;
            let kind = mount.typ().as_deref().unwrap_or_default();
            match (options.bind, kind) {
                (Some(bind), _) => plan_bind(&field, mount, bind, &options, bundle, binder, descriptors),
                (None, "bind") => {
                    plan_bind(&field, mount, Bind::Single, &options, bundle, binder, descriptors)
                }
                (None, "") => Err(PlanError::Missing { field: "mounts[].type" }.into()),
                (None, kind) => Ok(plan_filesystem(&field, mount, kind, options)?),
            }
        })
        .collect()
}

fn plan_filesystem(
    field: &str,
    mount: &Mount,
    kind: &str,
    options: MountOptions,
) -> Result<MountPlan, PlanError> {
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() || options.id_mapping.is_some() {
        return Err(PlanError::Unsupported {
            field: format!("{field}: id mappings of a mount that is no bind mount"),
        });
    }
    if options.copy_up && kind != "tmpfs" {
        return Err(PlanError::invalid(format!("{field}.options"), "tmpcopyup", "is for tmpfs only"));
    }
    let flags = u64::from(options.flags);
    let data = c_string(field, options.data.join(","))?;
    let source = match kind {
        "cgroup" | "cgroup2" => MountSource::Cgroup { flags, data },
        _ => MountSource::Filesystem {
            kind: c_string(field, kind)?,
            source: c_string(
                field,
                mount.source().as_ref().map_or(kind.as_bytes(), |s| s.as_os_str().as_bytes()),
            )?,
            flags,
            data,
            refuse_symlinks: matches!(kind, "proc" | "sysfs"),
            copy_up: options.copy_up,
        },
    };
    // The flags went with the mount itself; what cannot go there remains.
    let attributes = MountAttributes { set: 0, clear: 0, propagation: options.attributes.propagation };
    Ok(MountPlan {
        destination: absolute_path(&format!("{field}.destination"), mount.destination())?,
        source,
        attributes,
        recursive_attributes: options.recursive_attributes,
    })
}

fn plan_bind(
    field: &str,
    mount: &Mount,
    bind: Bind,
    options: &MountOptions,
    bundle: &Path,
    binder: &impl Binder,
    descriptors: &mut Descriptors<'_>,
) -> Result<MountPlan, crate::Error> {
    if let Some(option) = options.data.first() {
        return Err(
            PlanError::invalid(format!("{field}.options"), option, "is no option of a bind mount").into()
        );
    }
    if options.copy_up {
        return Err(PlanError::invalid(format!("{field}.options"), "tmpcopyup", "is for tmpfs only").into());
    }
    let Some(source) = mount.source() else {
        return Err(PlanError::Missing { field: "mounts[].source" }.into());
    };
    let source = bundle.join(source);
    let unusable = |action, errno| PlanError::Unusable {
        field: format!("{field}.source"),
        value: source.display().to_string(),
        action,
        errno,
    };
    let tree = clone_tree(&source, bind).map_err(|errno| unusable("cannot be bound", errno))?;
    let status = fstat(&tree).map_err(|errno| unusable("cannot be examined", errno))?;
    let directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    map_ids(field, mount, options, &tree, binder)?;
    set_attributes(&tree, directory, options)
        .map_err(|errno| unusable("its mount attributes cannot be set", errno))?;
    Ok(MountPlan {
        destination: absolute_path(&format!("{field}.destination"), mount.destination())?,
        source: MountSource::Tree { tree: descriptors.add(tree), directory },
        attributes: MountAttributes::default(),
        recursive_attributes: MountAttributes::default(),
    })
}

/// A clone of the mount at `source`, attached nowhere.
pub(crate) fn clone_tree(source: &Path, bind: Bind) -> Result<OwnedFd, Errno> {
    let recursion = match bind {
        Bind::Recursive => OpenTreeFlags::AT_RECURSIVE,
        Bind::Single => OpenTreeFlags::empty(),
    };
    open_tree(CWD, source, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursion)
}

fn map_ids(
    field: &str,
    mount: &Mount,
    options: &MountOptions,
    tree: &OwnedFd,
    binder: &impl Binder,
) -> Result<(), crate::Error> {
    let maps = IdMaps::from_spec(field, mount.uid_mappings().as_ref(), mount.gid_mappings().as_ref())?;
    let own;
    let namespace = match (maps, options.id_mapping) {
        (None, None) => return Ok(()),
        (Some(maps), _) => {
            own = binder.user_namespace(maps)?;
            &own
        }
        (None, Some(_)) => binder.container_user_namespace().ok_or_else(|| {
            PlanError::invalid(
                format!("{field}.options"),
                "idmap",
                "needs mappings, or a user namespace of the container",
            )
        })?,
    };
    let recursive = options.id_mapping == Some(IdMapping::Recursive);
    mount_setattr(tree.as_fd(), MountAttributes::default(), Some(namespace.as_fd()), recursive).map_err(
        |errno| {
            PlanError::Unusable {
                field: format!("{field}.uidMappings"),
                value: mount.source().as_ref().map(|source| source.display().to_string()).unwrap_or_default(),
                action: "cannot be id-mapped (does its file system support it on this kernel?)",
                errno,
            }
            .into()
        },
    )
}

/// Sets what the options ask for. Without a word on propagation a bind is a slave: it sees later mounts of the host and
/// sends none back.
fn set_attributes(tree: &OwnedFd, directory: bool, options: &MountOptions) -> Result<(), Errno> {
    let mut recursive = options.recursive_attributes;
    if recursive.propagation == 0 && options.attributes.propagation == 0 {
        recursive.propagation = u64::from(MountPropagationFlags::DOWNSTREAM.bits());
    }
    if !directory {
        // Nothing is mounted below a file, so one call does for both.
        return mount_setattr(tree.as_fd(), recursive.then(options.attributes), None, false);
    }
    mount_setattr(tree.as_fd(), recursive, None, true)?;
    if !options.attributes.is_empty() {
        mount_setattr(tree.as_fd(), options.attributes, None, false)?;
    }
    Ok(())
}

/// What the snapshotter gives for the rootfs: mounted by the shim on the host, where hooks and people look for it.
pub(crate) fn rootfs_mount_flags(options: &[String]) -> Result<(MountFlags, String), PlanError> {
    let options = MountOptions::parse("rootfs.options", options)?;
    let mut flags = MountFlags::from_bits_retain(options.flags);
    flags |= match options.bind {
        Some(Bind::Single) => MountFlags::BIND,
        Some(Bind::Recursive) => MountFlags::BIND | MountFlags::REC,
        None => MountFlags::empty(),
    };
    Ok((flags, options.data.join(",")))
}
