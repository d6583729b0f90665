//! A place of one's own in the hierarchy, and processes to put there.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ballast_cgroups::{Cgroup, CgroupPath, Hierarchy};

/// Far enough away that only a defect reaches it.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A directory that is removed, with everything in it, at the end of a test.
pub(crate) struct Place {
    pub(crate) hierarchy: Hierarchy,
    top: CgroupPath,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let top = format!("/ballast-test-{}-{count}-{name}", std::process::id());
        Self { hierarchy: Hierarchy::discover().unwrap(), top: CgroupPath::parse(&top).unwrap() }
    }

    pub(crate) fn path(&self, relative: &str) -> CgroupPath {
        CgroupPath::parse(&format!("{}/{relative}", self.top)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(top) = self.hierarchy.find(&self.top) else { return };
        let removed = top.kill_all().and_then(|()| top.delete(soon()));
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// A process that does nothing in a cgroup until it is killed.
pub(crate) struct Sleeper {
    child: Child,
}

impl Sleeper {
    pub(crate) fn in_cgroup(cgroup: &Cgroup) -> Self {
        Self::in_directory(cgroup.directory_path())
    }

    pub(crate) fn in_directory(directory: &Path) -> Self {
        // It moves itself, so that its use of the CPU counts; the line on its output says that it has.
        let script = "echo $$ > \"$0/cgroup.procs\" && echo && exec sleep 1000";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "\n", "the process did not get into {}", directory.display());
        Self { child }
    }

    /// The signal that ended it; waits for its end.
    pub(crate) fn ended_by(&mut self) -> Option<i32> {
        self.child.wait().unwrap().signal()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
