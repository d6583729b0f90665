//! The node's mounts: the kernel's file systems and the host's shared directories.

use std::fs;

use anyhow::{Context, Result};
use ballast_integration::node::protocol::{Share, ShareSource};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};

/// Source and type, target, data.
const KERNEL_FILESYSTEMS: [(&str, &str, &str); 9] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devpts", "/dev/pts", "mode=620,ptmxmode=666,gid=5"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("mqueue", "/dev/mqueue", ""),
    ("tmpfs", "/run", "mode=755"),
    ("cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot"),
    ("bpf", "/sys/fs/bpf", "mode=700"),
    ("securityfs", "/sys/kernel/security", ""),
];

/// What a kernel can have been built without.
const OPTIONAL: [&str; 3] = ["bpf", "mqueue", "securityfs"];

/// Where the machine's root is, on a node that shares its kernel.
const MACHINE_ROOT: &str = "/machine";

/// Mounts the devices of a kernel of our own.
pub(crate) fn mount_devices() -> Result<()> {
    match mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, c"mode=755") {
        // A kernel can mount it by itself before it starts PID 1.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(errno).context("mount devtmpfs on /dev"),
    }
}

/// Mounts what every process expects below and beside `/dev`, and makes all mounts shared, as systemd does.
pub(crate) fn mount_kernel_filesystems() -> Result<()> {
    for (kind, target, data) in KERNEL_FILESYSTEMS {
        // Directories below a file system of the kernel's own exist already or cannot be made: mount says so.
        drop(fs::create_dir_all(target));
        let data = std::ffi::CString::new(data).context("mount data")?;
        let flags =
            MountFlags::NOSUID | if kind == "tmpfs" { MountFlags::NODEV } else { MountFlags::empty() };
        match mount(kind, target, kind, flags, data.as_c_str()) {
            Ok(()) => {}
            Err(Errno::NODEV | Errno::NOENT) if OPTIONAL.contains(&kind) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mount {kind} on {target}")),
        }
    }
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).context("make / shared")?;
    for (link, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        match rustix::fs::symlinkat(target, CWD, format!("/dev/{link}")) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("link /dev/{link}")),
        }
    }
    Ok(())
}

/// Makes the host's directory visible at its own path.
pub(crate) fn mount_share(share: &Share) -> Result<()> {
    fs::create_dir_all(&share.path).with_context(|| format!("create {}", share.path))?;
    let path = share.path.as_str();
    let flags = if share.writable { MountFlags::empty() } else { MountFlags::RDONLY };
    match &share.source {
        ShareSource::Hostfs(source) => {
            let data = std::ffi::CString::new(source.as_str()).context("share's path")?;
            mount("hostfs", path, "hostfs", flags, data.as_c_str())
                .with_context(|| format!("mount the host's {path} ({source})"))
        }
        ShareSource::Bind(source) => {
            mount_bind_recursive(source.as_str(), path)
                .with_context(|| format!("bind {source} to {path}"))?;
            mount_remount(path, MountFlags::BIND | flags, c"")
                .with_context(|| format!("set the access to {path}"))
        }
    }
}

/// Takes the machine's root out of the node's tree, where there is one.
pub(crate) fn detach_machine() -> Result<()> {
    if !fs::exists(MACHINE_ROOT).with_context(|| format!("look at {MACHINE_ROOT}"))? {
        return Ok(());
    }
    // What is mounted on a shared directory is unmounted with its twin here, unless the twin is on its own.
    mount_change(MACHINE_ROOT, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .with_context(|| format!("make {MACHINE_ROOT} private"))?;
    unmount(MACHINE_ROOT, UnmountFlags::DETACH).with_context(|| format!("detach {MACHINE_ROOT}"))?;
    fs::remove_dir(MACHINE_ROOT).with_context(|| format!("remove {MACHINE_ROOT}"))
}
