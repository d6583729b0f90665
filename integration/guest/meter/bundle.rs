//! The container that is measured: what containerd's CRI makes of a plain container with limits, in a pod with namespaces
//! of its own. Only data.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// containerd's own.
const SECCOMP: &str = include_str!("../../../runtime/src/seccomp/tests/default_profile.json");

const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Whether the container has limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    None,
    Some,
}

/// Writes the bundle and the layers of its overlay.
pub(crate) fn write(bundle: &Path, parent: &str, limits: Limits) -> Result<()> {
    let context = || format!("write the bundle {}", bundle.display());
    let layer = bundle.join("layer");
    for name in ["proc", "sys", "dev", "etc", "usr", "tmp", "root"] {
        fs::create_dir_all(layer.join(name)).with_context(context)?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), layer.join(name)).with_context(context)?;
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(bundle.join(name), "").with_context(context)?;
        fs::write(layer.join("etc").join(name), "").with_context(context)?;
    }
    for name in ["upper", "work", "rootfs", "shm"] {
        fs::create_dir(bundle.join(name)).with_context(context)?;
    }
    fs::write(bundle.join("config.json"), config(bundle, parent, limits)?.to_string()).with_context(context)
}

/// The options of the overlay that [`write`] has laid out.
pub(crate) fn overlay(bundle: &Path) -> Vec<String> {
    let option = |name: &str, directory: &str| format!("{name}={}", bundle.join(directory).display());
    vec![option("lowerdir", "layer"), option("upperdir", "upper"), option("workdir", "work")]
}

/// What a probe executes.
pub(crate) fn probe() -> Value {
    process(&["/usr/bin/true"])
}

fn process(arguments: &[&str]) -> Value {
    json!({
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": arguments,
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=meter", "HOME=/root"],
        "cwd": "/",
        "noNewPrivileges": true,
        "oomScoreAdj": 0,
        "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES}
    })
}

fn config(bundle: &Path, parent: &str, limits: Limits) -> Result<Value> {
    let seccomp: Value = serde_json::from_str(SECCOMP).context("parse the seccomp profile")?;
    let plain = ["nosuid", "noexec", "nodev"];
    let bind = |destination: &str, source: &Path, access: &str| json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", access]});
    // The meter stands for the pod's sandbox.
    let of_pod = |kind: &str, file: &str| json!({"type": kind, "path": format!("/proc/{}/ns/{file}", std::process::id())});
    let namespaces = json!([
        {"type": "pid"}, {"type": "mount"}, {"type": "cgroup"},
        of_pod("ipc", "ipc"), of_pod("uts", "uts"), of_pod("network", "net")
    ]);
    let mut resources = json!({"devices": [{"allow": false, "access": "rwm"}]});
    if limits == Limits::Some {
        resources["memory"] = json!({"limit": 134_217_728});
        resources["cpu"] = json!({"shares": 512, "quota": 50_000, "period": 100_000});
    }
    Ok(json!({
        "ociVersion": "1.2.1",
        "process": process(&["sleep", "infinity"]),
        "root": {"path": "rootfs"},
        "annotations": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            bind("/etc/hosts", &bundle.join("hosts"), "rw"),
            bind("/etc/hostname", &bundle.join("hostname"), "rw"),
            bind("/etc/resolv.conf", &bundle.join("resolv.conf"), "rw"),
            bind("/dev/shm", &bundle.join("shm"), "rw"),
            bind("/usr", Path::new("/usr"), "ro")
        ],
        "linux": {
            "cgroupsPath": format!("/{parent}/container"),
            "namespaces": namespaces,
            "resources": resources,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": seccomp
        }
    }))
}
