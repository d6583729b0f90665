//! `linux.devices`: nodes below `/dev`, those that every container has included.

use super::wire::{DeviceNode, DevicePlan};
use super::{PlanError, absolute_path, c_string};
use crate::spawn::Descriptors;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::path::Path;

const MODE_CHARACTER: u32 = 0o020_000;
const MODE_BLOCK: u32 = 0o060_000;
const MODE_FIFO: u32 = 0o010_000;

/// OCI runtime-spec config-linux.md, "Default Devices". `/dev/console` and `/dev/ptmx` come with the terminal and devpts.
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Plans the default devices and the spec's, of which a later one of the same path wins. None when the host's `/dev` is
/// bound into the container: it has them all.
pub(crate) fn plan_devices(
    spec: &Spec,
    in_user_namespace: bool,
    descriptors: &mut Descriptors<'_>,
) -> Result<Vec<DevicePlan>, PlanError> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let binds_dev = mounts.iter().any(|mount| {
        mount.destination() == Path::new("/dev")
            && (mount.typ().as_deref() == Some("bind")
                || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind"))
    });
    if binds_dev {
        return Ok(Vec::new());
    }
    let mut devices: Vec<DevicePlan> = Vec::new();
    for (path, major, minor) in DEFAULT_DEVICES {
        let node = if in_user_namespace {
            bind_node(path, Path::new(path), descriptors)?
        } else {
            DeviceNode::Make { mode: MODE_CHARACTER | 0o666, number: (major, minor), owner: (0, 0) }
        };
        devices.push(DevicePlan { path: c_string("linux.devices", path)?, node });
    }
    let given = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    for (index, device) in given.into_iter().flatten().enumerate() {
        let field = format!("linux.devices[{index}]");
        let path = absolute_path(&field, device.path())?;
        let node = if in_user_namespace {
            bind_node(&field, device.path(), descriptors)?
        } else {
            make_node(&field, device)?
        };
        devices.retain(|earlier| earlier.path != path);
        devices.push(DevicePlan { path, node });
    }
    Ok(devices)
}

fn make_node(field: &str, device: &LinuxDevice) -> Result<DeviceNode, PlanError> {
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => MODE_CHARACTER,
        LinuxDeviceType::B => MODE_BLOCK,
        LinuxDeviceType::P => MODE_FIFO,
        LinuxDeviceType::A => {
            return Err(PlanError::invalid(format!("{field}.type"), "a", "is no type of a node"));
        }
    };
    let number = |value: i64, part: &str| {
        u32::try_from(value).map_err(|_| {
            PlanError::invalid(format!("{field}.{part}"), value.to_string(), "is no device number")
        })
    };
    Ok(DeviceNode::Make {
        mode: kind | (device.file_mode().unwrap_or(0o666) & 0o7777),
        number: (number(device.major(), "major")?, number(device.minor(), "minor")?),
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
    })
}

fn bind_node(field: &str, path: &Path, descriptors: &mut Descriptors<'_>) -> Result<DeviceNode, PlanError> {
    let tree = open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .map_err(|errno| PlanError::Unusable {
            field: field.to_owned(),
            value: path.display().to_string(),
            action: "cannot be bound from the host, as a user namespace needs it",
            errno,
        })?;
    Ok(DeviceNode::Bind { tree: descriptors.add(tree) })
}
