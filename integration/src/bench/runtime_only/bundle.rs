//! The bundles: one configuration, as CRI confines an ordinary container, for every contender in a cgroup of its own.
//! What it asks the kernel for is also in `integration/floor/floor.c`: a change here is one there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Parent of all contenders' cgroups, below the root of the hierarchy.
const PARENT: &str = "ballast-bench";

/// A directory with a rootfs and the bundles that use it.
#[derive(Debug)]
pub(super) struct Bundles {
    place: PathBuf,
    rootfs: PathBuf,
    parent: PathBuf,
}

impl Bundles {
    /// Makes the rootfs, with `program` as its `/bin/true`, and the cgroups' parent.
    pub(super) fn write(place: &Path, program: &Path) -> Result<Self> {
        let rootfs = place.join("rootfs");
        for directory in ["bin", "dev", "etc", "proc", "sys"] {
            let path = rootfs.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        let own = rootfs.join("bin/true");
        fs::copy(program, &own).with_context(|| format!("copy the program to {}", own.display()))?;
        let parent = Path::new("/sys/fs/cgroup").join(PARENT);
        fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
        Ok(Self { place: place.to_owned(), rootfs, parent })
    }

    pub(super) fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// The cgroup that a contender's container lives in.
    pub(super) fn cgroup(&self, contender: &str) -> PathBuf {
        self.parent.join(contender)
    }

    /// Writes a contender's bundle.
    pub(super) fn of(&self, contender: &str) -> Result<PathBuf> {
        let bundle = self.place.join(contender);
        fs::create_dir_all(&bundle).with_context(|| format!("create {}", bundle.display()))?;
        let path = bundle.join("config.json");
        let text = config(&self.rootfs, &format!("/{PARENT}/{contender}")).to_string();
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(bundle)
    }
}

impl Drop for Bundles {
    fn drop(&mut self) {
        // A contender that failed may have left its cgroup inside; its own error is being reported.
        drop(fs::remove_dir(&self.parent));
    }
}

/// No resources: device rules take a program whose loading crun wants CAP_SYS_RESOURCE for, which not every machine gives.
fn config(rootfs: &Path, cgroup: &str) -> Value {
    let capabilities = json!([
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
        "CAP_AUDIT_WRITE"
    ]);
    let plain = ["nosuid", "noexec", "nodev"];
    let namespaces = ["mount", "pid", "ipc", "uts", "network", "cgroup"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true
        },
        "root": {"path": rootfs},
        "hostname": "bench",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
