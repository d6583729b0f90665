//! Bundles for tests, and what is left on the host after them.

use ballast_runtime::{
    Container, CreateOptions, CreateRequest, Error, Process, ProcessIo, RootfsMount, Runtime, ViewPolicy, sys,
};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Bundle {
    pub id: String,
    pub config: Value,
    /// Mounts of the rootfs, when it is not just a directory.
    pub rootfs_mounts: Vec<RootfsMount>,
    /// The node's policy of views.
    pub policy: ViewPolicy,
    directory: TempDir,
}

/// What a container printed and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: u32,
    pub stdout: String,
    pub stderr: String,
}

impl Bundle {
    /// A container that runs a shell script, confined as CRI confines a container of Kubernetes.
    pub fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rootfs = directory.path().join("rootfs");
        for name in ["proc", "sys", "dev", "etc", "usr", "tmp", "root"] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        for (link, target) in
            [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
        {
            std::os::unix::fs::symlink(target, rootfs.join(link)).unwrap();
        }
        std::fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
        )
        .unwrap();
        let id = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config = default_config(&id, script);
        Self { id, config, rootfs_mounts: Vec::new(), policy: ViewPolicy::default(), directory }
    }

    /// A container that does nothing; once it is started its program is `sleep`.
    pub fn idle() -> Self {
        Self::new("").set("/process/args", json!(["sleep", "1000"]))
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Changes the configuration by JSON pointer, making the last key if it is missing.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap_or_else(|| panic!("no {pointer}"));
        parent[key] = value;
        self
    }

    pub fn add_mount(mut self, mount: Value) -> Self {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    pub fn create(&self, runtime: &Arc<Runtime>, io: ProcessIo) -> Result<(Container, Process), Error> {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
        self.create_as_written(runtime, io)
    }

    pub fn create_as_written(
        &self,
        runtime: &Arc<Runtime>,
        io: ProcessIo,
    ) -> Result<(Container, Process), Error> {
        let request = CreateRequest {
            namespace: "test".into(),
            shim: format!("shim-of-{}", self.id),
            id: self.id.clone(),
            bundle: self.path().to_owned(),
            rootfs: self.rootfs_mounts.clone(),
            io,
            options: CreateOptions { proc_view: self.policy, ..CreateOptions::default() },
        };
        Container::create(runtime, request)
    }

    /// Creates, starts, waits, deletes; checks that nothing is left.
    pub fn run(&self, runtime: &Arc<Runtime>) -> Result<Outcome, Error> {
        let streams = Streams::new();
        let (container, process) = self.create(runtime, streams.io())?;
        let started = process.start();
        let outcome = streams.wait(&process);
        container.delete()?;
        self.assert_nothing_left();
        started.map(|()| outcome)
    }

    /// As [`Self::run`], for what has to work.
    pub fn output(&self, runtime: &Arc<Runtime>) -> Outcome {
        self.run(runtime).unwrap_or_else(|error| panic!("{}", ballast_runtime::report(&error)))
    }

    /// As [`Self::run`], for what has to be refused; the whole error text.
    pub fn refusal(&self, runtime: &Arc<Runtime>) -> String {
        let error = self.run(runtime).expect_err("was not refused");
        self.assert_nothing_left();
        ballast_runtime::report(&error)
    }

    pub fn assert_nothing_left(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path().to_str().unwrap()), "a mount is left: {mounts}");
        let records = Path::new("/run/ballast/test").join(format!("shim-of-{}", self.id));
        assert!(!records.exists(), "the record is left");
        let cgroup = find_cgroup_mount().join("ballast").join(&self.id);
        assert!(!cgroup.exists(), "the cgroup {} is left", cgroup.display());
    }
}

pub fn find_cgroup_mount() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line =
        mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).expect("a cgroup2 mount");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

/// Pipes for a container's output.
pub struct Streams {
    stdout: [std::io::PipeReader; 1],
    stderr: [std::io::PipeReader; 1],
    ends: std::cell::RefCell<Option<(std::io::PipeWriter, std::io::PipeWriter)>>,
}

impl Streams {
    pub fn new() -> Self {
        let (stdout, stdout_end) = std::io::pipe().unwrap();
        let (stderr, stderr_end) = std::io::pipe().unwrap();
        Self { stdout: [stdout], stderr: [stderr], ends: Some((stdout_end, stderr_end)).into() }
    }

    pub fn io(&self) -> ProcessIo {
        let (stdout, stderr) = self.ends.take().unwrap();
        ProcessIo::Streams { stdin: None, stdout: Some(stdout.into()), stderr: Some(stderr.into()) }
    }

    /// Waits for this much of standard output.
    pub fn read(&self, buffer: &mut [u8]) {
        let [stdout] = &self.stdout;
        (&mut &*stdout).read_exact(buffer).unwrap();
    }

    pub fn wait(&self, process: &Process) -> Outcome {
        let (stdout, stderr) = self.until_closed();
        Outcome { status: wait(process), stdout, stderr }
    }

    /// Standard output and standard error until nobody can write to them.
    pub fn until_closed(&self) -> (String, String) {
        let text = |[reader]: &[std::io::PipeReader; 1]| {
            let mut bytes = Vec::new();
            File::from(std::os::fd::OwnedFd::from(reader.try_clone().unwrap()))
                .read_to_end(&mut bytes)
                .unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (text(&self.stdout), text(&self.stderr))
    }
}

pub fn wait(process: &Process) -> u32 {
    loop {
        poll(&mut [PollFd::new(&process.pidfd(), PollFlags::IN)], None).unwrap();
        if let Some(status) = sys::wait::reap(process.pidfd()).unwrap() {
            return status;
        }
    }
}

fn default_config(id: &str, script: &str) -> Value {
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
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs"},
        "hostname": "testhost",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "rprivate", "ro"]}
        ],
        "linux": {
            "cgroupsPath": format!("/ballast/{id}"),
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}, {"type": "cgroup"}
            ],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
