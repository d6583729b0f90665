//! The cgroup that a node on this machine's kernel lives below. Knows nothing of what runs in it.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::leftovers;

/// The machine's hierarchy.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Without these there is nothing to test.
const REQUIRED: [&str; 3] = ["cpu", "memory", "pids"];

/// Handed to the node when the machine has them.
const WELCOME: [&str; 2] = ["cpuset", "io"];

/// How long the kernel gets to end the processes of a node that was killed.
const END_DEADLINE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Whether the machine's hierarchy is cgroup v2 alone.
///
/// # Errors
/// When there is nothing mounted to look at.
pub(crate) fn is_unified() -> Result<bool> {
    Ok(rustix::fs::statfs(ROOT).with_context(|| format!("look at {ROOT}"))?.f_type == CGROUP2_MAGIC)
}

/// A directory below the hierarchy's root with the controllers handed down: `supervisor` for the process that waits for
/// the node, `node` as the node's own root and `node/init` for its PID 1. Dropping it kills what is left in it, removes it
/// and takes back the controllers that the root did not hand down before.
#[derive(Debug)]
pub(crate) struct HostCgroup {
    path: PathBuf,
    /// What the root's `cgroup.subtree_control` got for this node.
    enabled: Vec<&'static str>,
}

impl HostCgroup {
    /// Creates it; `memory_limit` in bytes. Removes those of processes that were killed before they could.
    ///
    /// # Errors
    /// When this machine has no unified cgroup v2, or does not hand its controllers down.
    pub(crate) fn create(memory_limit: Option<u64>) -> Result<Self> {
        if !is_unified()? {
            bail!("{ROOT} is not cgroup v2 (the hierarchy is hybrid or v1)");
        }
        let root = Path::new(ROOT);
        let available = words(&root.join("cgroup.controllers"))?;
        if let Some(missing) = REQUIRED.iter().find(|name| !available.iter().any(|found| found == *name)) {
            bail!("{ROOT} has no {missing} controller, only: {}", available.join(" "));
        }
        let handed_down = words(&root.join("cgroup.subtree_control"))?;
        for stale in leftovers::of_dead_processes(root)? {
            Self { path: stale, enabled: Vec::new() }.remove()?;
        }
        let path = root.join(leftovers::new_name());
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        let mut cgroup = Self { path, enabled: Vec::new() };
        for name in REQUIRED.iter().chain(&WELCOME) {
            let has = |list: &[String]| list.iter().any(|found| found == name);
            if has(&available) && !has(&handed_down) {
                write(&root.join("cgroup.subtree_control"), &format!("+{name}"))?;
                cgroup.enabled.push(name);
            }
        }
        cgroup.hand_down(memory_limit)?;
        Ok(cgroup)
    }

    fn hand_down(&self, memory_limit: Option<u64>) -> Result<()> {
        if let Some(bytes) = memory_limit {
            write(&self.path.join("memory.max"), &bytes.to_string())?;
        }
        let all: Vec<_> =
            words(&self.path.join("cgroup.controllers"))?.iter().map(|name| format!("+{name}")).collect();
        write(&self.path.join("cgroup.subtree_control"), &all.join(" "))?;
        for directory in ["supervisor", "node", "node/init"] {
            let path = self.path.join(directory);
            fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn remove(&self) -> Result<()> {
        let kill = self.path.join("cgroup.kill");
        match fs::write(&kill, "1") {
            // Before Linux 5.14 the end of the process namespace has to do.
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("write {}", kill.display()));
            }
            _ => {}
        }
        wait_until_empty(&self.path.join("cgroup.events"))?;
        remove_tree(&self.path)?;
        for name in &self.enabled {
            write(&Path::new(ROOT).join("cgroup.subtree_control"), &format!("-{name}"))?;
        }
        Ok(())
    }
}

impl Drop for HostCgroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("left behind: the node's cgroup {}: {error:#}", self.path.display());
        }
    }
}

fn wait_until_empty(events: &Path) -> Result<()> {
    let context = || format!("read {}", events.display());
    let file = fs::File::open(events).with_context(context)?;
    loop {
        // A read arms the notification, so none is missed between it and the wait.
        let mut content = [0; 256];
        let length = rustix::io::pread(&file, &mut content, 0).with_context(context)?;
        if String::from_utf8_lossy(&content[..length]).contains("populated 0") {
            return Ok(());
        }
        let descriptor = file.as_fd();
        let mut changes = [PollFd::new(&descriptor, PollFlags::PRI)];
        if poll(&mut changes, Some(&END_DEADLINE)).with_context(context)? == 0 {
            bail!("processes are left in it after {} s", END_DEADLINE.tv_sec);
        }
    }
}

/// A cgroup is removed from its leaves up; its files go with it.
fn remove_tree(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let entry = entry.with_context(|| format!("read {}", path.display()))?;
        if entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path).with_context(|| format!("remove {}", path.display()))
}

fn words(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("write {content} to {}", path.display()))
}
