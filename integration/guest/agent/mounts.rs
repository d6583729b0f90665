//! The node's mounts: the kernel's file systems and the host's shared directories.

use std::fs;

use anyhow::{Context, Result};
use ballast_integration::node::protocol::Share;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// Source and type, target, data.
const KERNEL_FILESYSTEMS: [(&str, &str, &str); 10] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", "mode=755"),
    ("devpts", "/dev/pts", "mode=620,ptmxmode=666,gid=5"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("mqueue", "/dev/mqueue", ""),
    ("tmpfs", "/run", "mode=755"),
    ("cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot"),
    ("bpf", "/sys/fs/bpf", "mode=700"),
    ("securityfs", "/sys/kernel/security", ""),
];

/// Mounts what every process expects, and makes all mounts shared, as systemd does.
pub(crate) fn mount_kernel_filesystems() -> Result<()> {
    for (kind, target, data) in KERNEL_FILESYSTEMS {
        // Directories below a file system of the kernel's own exist already or cannot be made: mount says so.
        drop(fs::create_dir_all(target));
        let data = std::ffi::CString::new(data).context("mount data")?;
        let flags =
            MountFlags::NOSUID | if kind == "tmpfs" { MountFlags::NODEV } else { MountFlags::empty() };
        match mount(kind, target, kind, flags, data.as_c_str()) {
            Ok(()) => {}
            // A kernel can mount its own device file system before it starts PID 1.
            Err(Errno::BUSY) if kind == "devtmpfs" => {}
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
    let Some(source) = &share.hostfs else { return Ok(()) };
    fs::create_dir_all(&share.path).with_context(|| format!("create {}", share.path))?;
    let flags = if share.writable { MountFlags::empty() } else { MountFlags::RDONLY };
    let data = std::ffi::CString::new(source.as_str()).context("share's path")?;
    mount("hostfs", share.path.as_str(), "hostfs", flags, data.as_c_str())
        .with_context(|| format!("mount the host's {} ({source})", share.path))
}
