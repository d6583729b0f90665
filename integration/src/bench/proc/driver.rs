//! Measures, in the place where it runs: starts the contenders, has the reader read, looks at what the servers spent.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::contender::{Daemon, Views};
use super::lxcfs;
use super::outcome::{Contender, Cost, Figures, Lxcfs, Outcome, Row};

/// What is read: live files, and two that only an update changes.
pub(super) const FILES: [&str; 9] = [
    "/proc/meminfo",
    "/proc/stat",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/vmstat",
    "/proc/diskstats",
    "/proc/swaps",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu/online",
];
const READERS: [u32; 2] = [1, 8];

/// Files whose server is looked at.
const COSTED: [&str; 3] = ["/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu/online"];
/// Reads while the server's system calls are counted.
const TRACED_READS: u32 = 300;

/// Containers beyond the first, over which memory is spread.
const FURTHER_CONTAINERS: u32 = 10;

const CGROUP: &str = "ballast-bench-proc";
const MEMORY_LIMIT: u64 = 256 << 20;
/// More than the readers can use, so that nothing is throttled.
const CPU_LIMIT: (u64, u64) = (800_000, 100_000);

/// Everything.
pub(super) fn measure(programs: &Path, reads: u32) -> Result<Outcome> {
    let place = Place::make(programs)?;
    let lxcfs_mount = place.directory.join("lxcfs");
    let daemon = Daemon::lxcfs(programs, lxcfs_mount)?;
    let mut views = Views::start(programs, &place.bundle)?;
    let container = views.add()?;
    let session = Session { programs, place: &place, daemon: &daemon, container };
    let mut rows = Vec::new();
    for file in FILES {
        for readers in READERS {
            for contender in Contender::ALL {
                // As many reads in all, whoever takes part.
                let each = (reads / readers).max(1);
                if let Some(figures) = session.read(contender, readers, each, file)? {
                    rows.push(Row { file: file.to_owned(), contender, readers, figures });
                }
            }
        }
        eprintln!("  measured {file}");
    }
    let mut costs = Vec::new();
    for file in COSTED {
        for (contender, server) in [(Contender::Lxcfs, daemon.pid()), (Contender::Ballast, views.pid())] {
            costs.extend(session.cost(contender, server, file, reads)?);
        }
    }
    let memory_kib_per_container = memory(&session, &mut views)?;
    let shown = fs::read_to_string(daemon.file("/proc/meminfo")).context("read lxcfs's meminfo")?;
    let host = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let limited = session.through_cgroup(&daemon.file("/proc/meminfo"))?;
    let total = |text: &str| text.lines().next().map(str::to_owned);
    let outcome = Outcome {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().context("count the CPUs")?.get(),
        load: fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?,
        reads,
        has_limits: place.has_limits,
        lxcfs: Lxcfs {
            version: fs::read_to_string(programs.join(lxcfs::VERSION))
                .context("read lxcfs's version")?
                .trim()
                .to_owned(),
            shows_the_hosts_memory: total(&shown) == total(&host) && total(&limited) == total(&host),
        },
        rows,
        costs,
        memory_kib_per_container,
    };
    views.end()?;
    Ok(outcome)
}

/// KiB for one more container, when every file of it was read.
fn memory(session: &Session<'_>, views: &mut Views) -> Result<f64> {
    let before = private_dirty_kib(views.pid())?;
    for _ in 0..FURTHER_CONTAINERS {
        let container = views.add()?;
        let further = Session { container, ..*session };
        for file in FILES {
            further.read(Contender::Ballast, 1, 1, file)?;
        }
    }
    let after = private_dirty_kib(views.pid())?;
    Ok(after.saturating_sub(before) as f64 / f64::from(FURTHER_CONTAINERS))
}

/// What a run has.
#[derive(Clone, Copy)]
struct Session<'a> {
    programs: &'a Path,
    place: &'a Place,
    daemon: &'a Daemon,
    container: u32,
}

impl Session<'_> {
    /// The reader, in the place from which this contender's files are seen.
    fn reader(&self, contender: Contender, readers: u32, rounds: u32, file: &str) -> Option<Command> {
        let mut command = Command::new(self.programs.join("proc_reader"));
        let path = match contender {
            Contender::Host => PathBuf::from(file),
            Contender::Lxcfs => {
                command.arg("-c").arg(&self.place.cgroup);
                self.daemon.file(file)
            }
            Contender::Ballast => {
                command.args(["-p", &self.container.to_string()]);
                PathBuf::from(file)
            }
        };
        if contender != Contender::Ballast && !path.exists() {
            return None;
        }
        command.args([readers.to_string(), rounds.to_string()]).arg(path);
        Some(command)
    }

    /// `None` where the contender does not have the file.
    fn read(&self, contender: Contender, readers: u32, rounds: u32, file: &str) -> Result<Option<Figures>> {
        let Some(mut command) = self.reader(contender, readers, rounds, file) else { return Ok(None) };
        let output = command.output().context("run proc_reader")?;
        if !output.status.success() {
            bail!("{command:?}: {}, {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).map(Some).context("read what proc_reader says")
    }

    fn through_cgroup(&self, path: &Path) -> Result<String> {
        let script =
            format!("echo 0 > {}/cgroup.procs && cat {}", self.place.cgroup.display(), path.display());
        let output = Command::new("sh").args(["-c", &script]).output().context("read as a member")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn cost(&self, contender: Contender, server: u32, file: &str, reads: u32) -> Result<Option<Cost>> {
        let before = cpu_us(server)?;
        if self.read(contender, 1, reads, file)?.is_none() {
            return Ok(None);
        }
        let cpu_us = (cpu_us(server)? - before) / f64::from(reads + 11);
        let summary = self.place.directory.join("strace");
        let mut tracer = Command::new("strace")
            .args(["-f", "-c", "-U", "calls", "-p", &server.to_string(), "-o"])
            .arg(&summary)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start strace")?;
        // It says when it has attached to all threads.
        let mut said = String::new();
        let mut messages = BufReader::new(tracer.stderr.take().context("the messages of strace")?);
        messages.read_line(&mut said).context("hear from strace")?;
        if !said.contains("attached") {
            bail!("strace said {said:?}");
        }
        let read = self.read(contender, 1, TRACED_READS, file);
        // SIGTERM would end strace without its summary.
        let tracer_pid = rustix::process::Pid::from_child(&tracer);
        rustix::process::kill_process(tracer_pid, rustix::process::Signal::INT).context("end strace")?;
        tracer.wait().context("wait for strace")?;
        read?;
        let summary = fs::read_to_string(&summary).context("read what strace counted")?;
        // The last line is the total.
        let calls = summary.lines().last().and_then(|total| total.split_whitespace().next());
        // The reader's first read and the ten before those that count are its, too.
        let calls: f64 = calls.map_or(Ok(0.0), str::parse).context("read what strace counted")?;
        let system_calls = calls / f64::from(TRACED_READS + 11);
        Ok(Some(Cost { file: file.to_owned(), contender, system_calls, cpu_us }))
    }
}

/// CPU time of a process so far.
fn cpu_us(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for entry in fs::read_dir(format!("/proc/{pid}/task")).context("list the threads")? {
        let text = fs::read_to_string(entry?.path().join("schedstat")).context("read schedstat")?;
        nanoseconds += text.split(' ').next().and_then(|run| run.parse::<f64>().ok()).unwrap_or_default();
    }
    Ok(nanoseconds / 1000.0)
}

fn private_dirty_kib(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("read smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("smaps_rollup has no Private_Dirty")
}

/// The bundle, the cgroup, the directory of a run; gone with it.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    bundle: PathBuf,
    /// For readers who are to be seen as a container by lxcfs.
    cgroup: PathBuf,
    has_limits: bool,
}

impl Place {
    fn make(programs: &Path) -> Result<Self> {
        let directory = PathBuf::from(format!("/tmp/ballast-bench-proc-{}", std::process::id()));
        let bundle = directory.join("bundle");
        let rootfs = bundle.join("rootfs");
        for name in ["dev", "proc", "sys"] {
            fs::create_dir_all(rootfs.join(name)).context("create the root file system")?;
        }
        fs::copy(programs.join("proc_reader"), rootfs.join("idle")).context("copy the program")?;
        let parent = Path::new("/sys/fs/cgroup").join(CGROUP);
        let cgroup = parent.join("reader");
        // What is refused shows in the files that are missing then.
        drop(fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +io +pids"));
        fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
        drop(fs::write(parent.join("cgroup.subtree_control"), "+cpu +memory +io +pids"));
        fs::create_dir_all(&cgroup).with_context(|| format!("create {}", cgroup.display()))?;
        let has_limits = cgroup.join("memory.max").exists() && cgroup.join("cpu.max").exists();
        if has_limits {
            fs::write(cgroup.join("memory.max"), MEMORY_LIMIT.to_string()).context("limit the memory")?;
            fs::write(cgroup.join("cpu.max"), format!("{} {}", CPU_LIMIT.0, CPU_LIMIT.1))
                .context("limit the CPU")?;
        }
        let config = config(&rootfs, has_limits).to_string();
        fs::write(bundle.join("config.json"), config).context("write the bundle")?;
        Ok(Self { directory, bundle, cgroup, has_limits })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed belongs to a contender that failed, whose error is being reported.
        drop(fs::remove_dir(&self.cgroup));
        drop(self.cgroup.parent().map(fs::remove_dir));
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// A container that does nothing; an empty `cgroupsPath` would give each its own below the root.
fn config(rootfs: &Path, has_limits: bool) -> serde_json::Value {
    let plain = ["nosuid", "noexec", "nodev"];
    let namespaces = ["mount", "pid", "ipc", "uts", "network", "cgroup"].map(|kind| json!({"type": kind}));
    let resources = json!({
        "memory": {"limit": MEMORY_LIMIT},
        "cpu": {"quota": CPU_LIMIT.0, "period": CPU_LIMIT.1},
    });
    json!({
        "ociVersion": "1.0.2",
        "annotations": {"ballast.dev/proc-view": "on"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/idle"], "cwd": "/", "noNewPrivileges": true},
        "root": {"path": rootfs},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": if has_limits { resources } else { json!({}) },
        }
    })
}
