//! A container, made with crictl. Its pod's end removes it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::command::{Outcome, crictl, run};
use super::json::{merge, number, text};
use super::pod::{OWN_PID_NAMESPACE, Pod};
use super::process::{self, Process, ask_until};

/// An image with a shell.
pub const BUSYBOX: &str = "ballast.dev/test/busybox:latest";
/// An image with nothing but `/probe`, its entry point.
pub const SCRATCH: &str = "ballast.dev/test/scratch:latest";

/// A container of a pod.
#[derive(Debug)]
pub struct Container {
    /// CRI's identity of it.
    pub id: String,
    log: PathBuf,
}

impl Container {
    pub(super) fn create(pod: &Pod, differences: Value) -> Result<Self, String> {
        // Not by what is in the pod's directory: several threads may create containers in one pod.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut config = json!({
            "metadata": {"name": name, "attempt": 1},
            "image": {"image": BUSYBOX},
            "log_path": format!("{name}.log"),
            "linux": {"security_context": {"namespace_options": OWN_PID_NAMESPACE}},
        });
        if differences.pointer("/command").is_none() && differences.pointer("/image").is_none() {
            merge(&mut config, json!({"command": ["sleep", "1000"]}));
        }
        merge(&mut config, differences);
        let log = pod.directory.join(text(&config, "/log_path"));
        let path = pod.directory.join(format!("{name}.json"));
        fs::write(&path, config.to_string()).unwrap();
        let outcome = run("crictl", &["create", &pod.id, path.to_str().unwrap(), &pod.config()]);
        match outcome.code {
            Some(0) => Ok(Self { id: outcome.stdout.trim().to_owned(), log }),
            _ => Err(outcome.stderr),
        }
    }

    /// What CRI says about the container.
    pub fn inspect(&self) -> Value {
        serde_json::from_str(&crictl(&["inspect", &self.id])).unwrap()
    }

    /// CRI's name of its state.
    pub fn state(&self) -> String {
        text(&self.inspect(), "/status/state").to_owned()
    }

    /// Its first process.
    #[track_caller]
    pub fn process(&self) -> Process {
        let pid = number(&self.inspect(), "/info/pid");
        Process::open(u32::try_from(pid).unwrap()).expect("the container's process is gone")
    }

    /// A file of its cgroup.
    #[track_caller]
    pub fn cgroup_file(&self, name: &str) -> String {
        let path = format!("{}/{name}", self.process().cgroup());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    /// Waits for the container's end and until its log is whole; returns what CRI says about it then.
    #[track_caller]
    pub fn wait(&self) -> Value {
        let inspected = self.wait_for_end();
        self.wait_for_end_of_log();
        inspected
    }

    #[track_caller]
    fn wait_for_end(&self) -> Value {
        let exited = |inspected: &Value| text(inspected, "/status/state") == "CONTAINER_EXITED";
        let inspected = self.inspect();
        if exited(&inspected) {
            return inspected;
        }
        if let Some(process) = Process::open(u32::try_from(number(&inspected, "/info/pid")).unwrap()) {
            process.wait();
        }
        ask_until("the container's end at CRI", || Some(self.inspect()).filter(exited))
    }

    /// Waits until containerd has closed the log. It tells of the container's end before: the last lines may still be in the
    /// buffer of the goroutine that writes them (`redirectLogs`), whatever the runtime.
    #[track_caller]
    fn wait_for_end_of_log(&self) {
        ask_until("the end of the log", || (!process::has_open("containerd", &self.log)).then_some(()));
    }

    /// Waits for the end; returns the exit code.
    #[track_caller]
    pub fn exit_code(&self) -> u64 {
        number(&self.wait(), "/status/exitCode")
    }

    /// Waits for the end, which must be a good one; returns what the container printed.
    #[track_caller]
    pub fn output(&self) -> String {
        let code = self.exit_code();
        let logs = self.logs();
        assert_eq!(code, 0, "the container printed {logs:?}");
        logs
    }

    /// Standard output and standard error so far, as crictl shows them.
    pub fn logs(&self) -> String {
        let outcome = run("crictl", &["logs", &self.id]);
        assert_eq!(outcome.code, Some(0), "logs: {}", outcome.stderr);
        outcome.stdout + &outcome.stderr
    }

    /// The log file with CRI's time stamps and stream names.
    pub fn raw_log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The log file where it may be more than text.
    #[must_use]
    pub fn raw_log_bytes(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap()
    }

    /// Waits until the log has a line that contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let mut follower = Command::new("crictl")
            .args(["logs", "--follow", &self.id])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(follower.stdout.take().unwrap());
        let found = std::io::BufRead::lines(output).map_while(Result::ok).any(|line| line.contains(text));
        follower.kill().unwrap();
        follower.wait().unwrap();
        if found {
            return;
        }
        self.wait_for_end_of_log();
        assert!(
            self.raw_log().contains(text),
            "the container ended without printing {text:?}: {:?}",
            self.raw_log()
        );
    }

    /// Runs a command in the container.
    pub fn try_exec(&self, command: &[&str]) -> Outcome {
        run("crictl", &[&["exec", &self.id], command].concat())
    }

    /// Runs a command in the container that must end with code 0; returns its standard output.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> String {
        let output = self.try_exec(command).expect_success(&format!("exec {command:?}"));
        output.trim_end().to_owned()
    }

    /// Starts a command in the container, its output on pipes.
    pub fn spawn_exec(&self, command: &[&str]) -> Child {
        Command::new("crictl")
            .args(["exec", &self.id])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}
