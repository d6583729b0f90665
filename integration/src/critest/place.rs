//! Where critest runs: on a node, or right here against a container engine that is there already. Runs commands and
//! brings back files; knows nothing of specs.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use super::interrupt::Running;
use crate::node::Node;
use crate::node::protocol::Ending;

/// The node's containerd, as its environment names it for every command.
const NODE_ENDPOINT: &str = "unix:///run/containerd/containerd.sock";

/// Somewhere with a container engine that speaks CRI.
#[derive(Debug)]
pub(super) enum Place {
    Node(Node),
    Here(Here),
}

/// This machine, with an engine that is not ours: nothing of it is configured, started or stopped.
#[derive(Debug)]
pub(super) struct Here {
    endpoint: String,
    /// Where critest, crictl and ginkgo are.
    programs: PathBuf,
}

impl Here {
    pub(super) fn new(endpoint: &str, programs: PathBuf) -> Self {
        let endpoint =
            if endpoint.contains("://") { endpoint.to_owned() } else { format!("unix://{endpoint}") };
        Self { endpoint, programs }
    }

    fn command(&self, argv: &[String]) -> Result<Command> {
        let (program, arguments) = argv.split_first().context("an empty command line")?;
        let mut path = OsString::from(&self.programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        // Not the person's crictl.yaml, nor a container engine that only the environment names.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "INT", "--", program])
            .args(arguments)
            .env("PATH", path)
            .env_remove("CONTAINER_RUNTIME_ENDPOINT")
            .env_remove("IMAGE_SERVICE_ENDPOINT")
            .stdin(Stdio::null());
        Ok(command)
    }
}

impl Place {
    /// The container engine's address.
    pub(super) fn endpoint(&self) -> &str {
        match self {
            Self::Node(_) => NODE_ENDPOINT,
            Self::Here(here) => &here.endpoint,
        }
    }

    /// Runs a short command and returns what it printed.
    ///
    /// # Errors
    /// When it did not succeed, with what it said.
    pub(super) fn output(&self, argv: &[&str]) -> Result<String> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Node(node) => node.command(argv).run(),
            Self::Here(here) => {
                let shown = argv.join(" ");
                let output = here.command(&argv)?.output().with_context(|| format!("start `{shown}`"))?;
                if !output.status.success() {
                    bail!("`{shown}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
                }
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
        }
    }

    /// Runs a long command in its scratch directory, hands on each line that it prints, and returns how it ended.
    ///
    /// # Errors
    /// When it could not be started, or was stopped by a signal of the person's.
    pub(super) fn follow(
        &self,
        argv: &[String],
        scratch: &str,
        running: &Running,
        line: &mut dyn FnMut(&str),
    ) -> Result<Ending> {
        let ending = match self {
            Self::Node(node) => {
                let session =
                    node.command(argv.to_vec()).env("TMPDIR", scratch).directory(scratch).start()?;
                let input = session.input();
                // The node goes as a whole afterwards: nothing there needs to be tidied up.
                let _registration = running.register(move || drop(input.signal(Signal::KILL)))?;
                let (mut lines, mut errors) = (Lines::new(&mut *line), Vec::new());
                let ending = session.copy_output(&mut lines, &mut errors)?;
                lines.finish();
                String::from_utf8_lossy(&errors).lines().for_each(line);
                ending
            }
            Self::Here(here) => {
                follow_here(here.command(argv)?.env("TMPDIR", scratch).current_dir(scratch), running, line)?
            }
        };
        running.check()?;
        Ok(ending)
    }

    /// A new empty directory for a run's temporary files.
    pub(super) fn scratch(&self, label: &str) -> Result<Scratch<'_>> {
        let name = format!("ballast-critest-{}-{label}", std::process::id());
        let path = match self {
            Self::Node(_) => format!("/tmp/{name}"),
            Self::Here(_) => std::env::temp_dir().join(name).display().to_string(),
        };
        self.output(&["mkdir", "--mode=755", &path])?;
        Ok(Scratch { place: self, path })
    }
}

/// Reads both streams as one until their last holder has closed them, which can be later than the command's end.
fn follow_here(command: &mut Command, running: &Running, line: &mut dyn FnMut(&str)) -> Result<Ending> {
    let (reader, writer) = std::io::pipe().context("create a pipe")?;
    command.stdout(writer.try_clone().context("duplicate a pipe")?).stderr(writer);
    // The terminal's signals are ours to pass on, once: at the second one Ginkgo stops tidying up.
    let mut child = command.process_group(0).spawn().context("start critest")?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = Pid::from_child(&child);
    let registration = running.register(move || interrupt(group));
    if registration.is_err() {
        interrupt(group);
    }
    for text in BufReader::new(reader).split(b'\n') {
        line(&String::from_utf8_lossy(&text.context("read critest's output")?));
    }
    let status = child.wait().context("wait for critest")?;
    drop(registration?);
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, signal) => Ending::Signal(signal.unwrap_or_default()),
    })
}

fn interrupt(group: Pid) {
    match kill_process_group(group, Signal::INT) {
        // It has ended by itself.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => eprintln!("interrupt critest: {errno}"),
    }
}

/// A directory for temporary files where critest runs; removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch<'a> {
    place: &'a Place,
    path: String,
}

impl Scratch<'_> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Writes a file into it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, name: &str, content: &str) -> Result<()> {
        let path = format!("{}/{name}", self.path);
        match self.place {
            Place::Here(_) => fs::write(&path, content).with_context(|| format!("write {path}")),
            Place::Node(node) => {
                node.command(["sh", "-c", "cat > \"$1\"", "put", &path]).stdin(content).run().map(drop)
            }
        }
    }

    /// Makes a directory in it.
    ///
    /// # Errors
    /// When there is something of that name.
    pub(super) fn make_directory(&self, name: &str) -> Result<()> {
        self.place.output(&["mkdir", &format!("{}/{name}", self.path)]).map(drop)
    }

    /// Copies one file of it to `target` on this machine.
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn fetch(&self, name: &str, target: &Path) -> Result<()> {
        let source = format!("{}/{name}", self.path);
        let source = match self.place {
            Place::Here(_) => PathBuf::from(source),
            Place::Node(node) => {
                let shared = node.logs().join(target.file_name().unwrap_or_default());
                self.place.output(&["cp", &source, &shared.display().to_string()])?;
                node.flush_logs()?;
                shared
            }
        };
        fs::copy(&source, target)
            .with_context(|| format!("copy {} to {}", source.display(), target.display()))
            .map(drop)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // A node takes its files with it.
        if let Place::Here(_) = self.place
            && let Err(error) = remove_unless_mounted(Path::new(&self.path))
        {
            eprintln!("critest left something behind: {error:#}");
        }
    }
}

/// A spec that failed can have left a mount, of a directory that is somebody's: then nothing is removed.
fn remove_unless_mounted(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    if let Some(point) = points.map(Path::new).find(|point| point.starts_with(directory)) {
        bail!("{} is still mounted, so {} is not removed", point.display(), directory.display());
    }
    fs::remove_dir_all(directory).with_context(|| format!("remove {}", directory.display()))
}

/// Cuts a stream into lines.
struct Lines<'a> {
    line: &'a mut dyn FnMut(&str),
    rest: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(line: &'a mut dyn FnMut(&str)) -> Self {
        Self { line, rest: Vec::new() }
    }

    fn finish(mut self) {
        if !self.rest.is_empty() {
            (self.line)(&String::from_utf8_lossy(&std::mem::take(&mut self.rest)));
        }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        for byte in buffer {
            if *byte == b'\n' {
                (self.line)(&String::from_utf8_lossy(&self.rest));
                self.rest.clear();
            } else {
                self.rest.push(*byte);
            }
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Place {
        Place::Here(Here::new("/run/x.sock", PathBuf::from("/nonexistent")))
    }

    #[test]
    fn an_endpoint_without_a_scheme_is_a_unix_socket() {
        assert_eq!(here().endpoint(), "unix:///run/x.sock");
        assert_eq!(Here::new("unix:///a", PathBuf::new()).endpoint, "unix:///a");
    }

    #[test]
    fn a_stream_is_cut_into_lines_wherever_it_was_split() {
        let mut seen = Vec::new();
        let mut push = |line: &str| seen.push(line.to_owned());
        let mut lines = Lines::new(&mut push);
        for part in ["on", "e\ntw", "o\n", "three"] {
            lines.write_all(part.as_bytes()).unwrap();
        }
        lines.finish();
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_command_here_is_followed_until_its_last_child_closed_the_stream() {
        let argv = ["sh", "-c", "echo one; (sleep 0.1; echo late >&2) & exit 3"].map(str::to_owned);
        let mut seen = Vec::new();
        let ending = here()
            .follow(&argv, "/tmp", &Running::default(), &mut |line| seen.push(line.to_owned()))
            .unwrap();
        assert_eq!((ending, seen), (Ending::Code(3), vec!["one".to_owned(), "late".to_owned()]));
    }

    #[test]
    fn a_command_here_is_interrupted() {
        let running = Running::default();
        let argv = ["sh", "-c", "echo up; exec sleep 60"].map(str::to_owned);
        let stop = running.clone();
        let error = here().follow(&argv, "/tmp", &running, &mut |_| stop.stop()).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }

    #[test]
    fn a_directory_with_a_mount_in_it_is_left_alone() {
        let error = remove_unless_mounted(Path::new("/proc")).unwrap_err();
        assert!(error.to_string().contains("/proc is still mounted"), "{error}");
    }

    #[test]
    fn a_scratch_directory_is_gone_afterwards() {
        let place = here();
        let scratch = place.scratch("test").unwrap();
        let path = PathBuf::from(scratch.path());
        fs::write(path.join("report.json"), "{}").unwrap();
        fs::create_dir_all(path.join("podLogTest123/logs")).unwrap();
        let target = std::env::temp_dir().join(format!("ballast-fetched-{}", std::process::id()));
        scratch.fetch("report.json", &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "{}");
        fs::remove_file(&target).unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
