//! Processes to put into cgroups, and how long a test waits for them.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ballast_cgroups::Cgroup;

/// Far enough away that only a defect reaches it.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
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
