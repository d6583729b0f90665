//! Those who show files: started, found by their process, ended.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::lxcfs;

/// What a daemon gets to mount its files.
const DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Ends with its last handle.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    mount: PathBuf,
}

impl Daemon {
    /// lxcfs, serving below `mount`.
    pub(super) fn lxcfs(programs: &Path, mount: PathBuf) -> Result<Self> {
        fs::create_dir_all(&mount).with_context(|| format!("create {}", mount.display()))?;
        let root = programs.join(lxcfs::DIRECTORY);
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/lxcfs"]
                .map(|directory| root.join(directory).display().to_string())
                .join(":");
        let child = Command::new(root.join("usr/bin/lxcfs"))
            .args(["-f", "--enable-loadavg", "--enable-cfs"])
            .arg("--pidfile")
            .arg(mount.with_extension("pid"))
            .arg(&mount)
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start lxcfs")?;
        let mut daemon = Self { child, mount };
        // Readable with priority whenever something was mounted.
        let mounts = fs::File::open("/proc/self/mountinfo").context("open the list of mounts")?;
        while !daemon.file("/proc/meminfo").exists() {
            let mut events = [PollFd::new(&mounts, PollFlags::PRI)];
            if poll(&mut events, Some(&DEADLINE)).context("wait for a mount")? == 0 {
                bail!("lxcfs mounted nothing: {:?}", daemon.child.try_wait());
            }
        }
        Ok(daemon)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it shows a file of `/proc` or `/sys`.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        match name.strip_prefix("/sys/") {
            Some(rest) => self.mount.join("sys").join(rest),
            None => self.mount.join("proc").join(name.trim_start_matches("/proc/")),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its own end unmounts; what fails here was not mounted.
        drop(Command::new("umount").arg("--lazy").arg(&self.mount).stderr(Stdio::null()).status());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The process that serves views, and its containers.
#[derive(Debug)]
pub(super) struct Views {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Views {
    pub(super) fn start(programs: &Path, bundle: &Path) -> Result<Self> {
        let mut child = Command::new(programs.join("proc_view"))
            .arg(bundle)
            .arg("view")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start proc_view")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the output of proc_view")?);
        Ok(Self { child, input, output })
    }

    /// One more container; returns its first process.
    pub(super) fn add(&mut self) -> Result<u32> {
        self.input.as_mut().context("proc_view has ended")?.write_all(b"\n").context("ask proc_view")?;
        let mut line = String::new();
        self.output.read_line(&mut line).context("hear from proc_view")?;
        line.trim().parse().with_context(|| format!("proc_view said {line:?}"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends all containers.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait().context("wait for proc_view")?;
        if status.success() { Ok(()) } else { bail!("proc_view: {status}") }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.child.wait());
    }
}
