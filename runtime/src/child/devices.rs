//! Device nodes below `/dev` and the links that programs expect there.

use super::Context;
use super::rootfs::{MountPoint, Rootfs, attach};
use crate::error::{StepContext, StepError};
use crate::plan::wire::{DeviceNode, DevicePlan};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, makedev, mknodat, statat, symlinkat};
use rustix::io::Errno;
use rustix::process::umask;
use std::ffi::{CStr, CString};

/// OCI runtime-spec runtime-linux.md, "Dev symbolic links" and `/dev/ptmx`.
const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"pts/ptmx", c"ptmx"),
];

/// Makes the nodes and, when there are any, the links. A container with the host's `/dev` has neither.
pub(super) fn make_all(
    rootfs: &Rootfs<'_>,
    devices: &[DevicePlan],
    context: &Context<'_>,
) -> Result<(), StepError> {
    if devices.is_empty() {
        return Ok(());
    }
    let inherited = umask(Mode::empty());
    let dev = rootfs.mount_point(c"/dev", MountPoint::Directory).step(|| "find /dev".into())?;
    for device in devices {
        let make = || -> Result<(), Errno> {
            match &device.node {
                DeviceNode::Make { mode, number, owner } => {
                    let (directory, name) = split(&device.path)?;
                    // Nearly all are right below `/dev`, which is open already.
                    if directory.as_c_str() == c"/dev" {
                        return make_node(dev.as_fd(), name, *mode, *number, *owner);
                    }
                    let directory = rootfs.mount_point(&directory, MountPoint::Directory)?;
                    make_node(directory.as_fd(), name, *mode, *number, *owner)?;
                    rootfs.done_with(directory);
                }
                DeviceNode::Bind { tree } => {
                    let target = rootfs.mount_point(&device.path, MountPoint::File)?;
                    attach(context.descriptor(*tree).map_err(|_| Errno::BADF)?, &target)?;
                    rootfs.done_with(target);
                }
            }
            Ok(())
        };
        make().step(|| format!("make the device {}", device.path.to_string_lossy()))?;
    }
    for (target, name) in LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(errno).step(|| format!("make the link /dev/{}", name.to_string_lossy()));
            }
        }
    }
    umask(inherited);
    rootfs.done_with(dev);
    Ok(())
}

/// The directory of a device and its name there.
fn split(path: &CStr) -> Result<(CString, &CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').ok_or(Errno::INVAL)?;
    let directory = if slash == 0 { b"/" } else { &bytes[..slash] };
    let directory = CString::new(directory).map_err(|_| Errno::INVAL)?;
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
    Ok((directory, name))
}

fn make_node(
    directory: BorrowedFd<'_>,
    name: &CStr,
    mode: u32,
    number: (u32, u32),
    (uid, gid): (u32, u32),
) -> Result<(), Errno> {
    let (kind, device) = (FileType::from_raw_mode(mode), makedev(number.0, number.1));
    match mknodat(directory, name, kind, Mode::from_raw_mode(mode), device) {
        // An image may bring the node along; anything else under that name is not what the spec asked for.
        Err(Errno::EXIST) => {
            let present = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let same = FileType::from_raw_mode(present.st_mode) == kind && present.st_rdev == device;
            return if same { Ok(()) } else { Err(Errno::EXIST) };
        }
        result => result?,
    }
    if (uid, gid) == (0, 0) {
        return Ok(());
    }
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
}

/// Refuses to use what is not the null device under the host's `/dev/null` (CVE-2025-31133).
pub(super) fn open_host_null() -> Result<OwnedFd, Errno> {
    let null =
        rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let status = rustix::fs::fstat(&null)?;
    let is_null = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == makedev(1, 3);
    if is_null { Ok(null) } else { Err(Errno::NODEV) }
}
