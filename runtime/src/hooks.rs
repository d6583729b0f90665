//! OCI hooks: programs that run at fixed points of a container's life with its state on standard input.
//!
//! OCI runtime-spec config.md, "POSIX-platform Hooks". The same code runs hooks in the shim (prestart, createRuntime,
//! poststart, poststop) and in the container's process (createContainer, startContainer); which one it is in, it does not
//! know.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// At most this much of what a failing hook printed goes into the error.
const REPORTED_OUTPUT_BYTES: u64 = 4096;

/// One hook, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) path: PathBuf,
    /// `argv`, its first element included; the path when the spec gives none.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) timeout: Option<Duration>,
}

/// The state that a hook reads, as OCI runtime-spec runtime.md, "State", lays it out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    pub(crate) status: String,
    /// 0 before there is a process.
    pub(crate) pid: u32,
    pub(crate) bundle: PathBuf,
    pub(crate) annotations: HashMap<String, String>,
}

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be run.
    #[error("{point} hook {path}: {action}")]
    Run {
        /// The point of the container's life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ran and said no.
    #[error("{point} hook {path}: {status}; it printed: {output}")]
    Failed {
        /// The point of the container's life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        output: String,
    },
    /// It took longer than its timeout and was killed.
    #[error("{point} hook {path}: did not finish within {} s", timeout.as_secs())]
    TimedOut {
        /// The point of the container's life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// The spec's timeout.
        timeout: Duration,
    },
}

/// Runs hooks in order; the first that fails ends it.
pub(crate) fn run_all(point: &'static str, hooks: &[Hook], state: &State) -> Result<(), HookError> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state).unwrap_or_default();
    hooks.iter().try_for_each(|hook| run(point, hook, &state))
}

fn run(point: &'static str, hook: &Hook, state: &[u8]) -> Result<(), HookError> {
    let failed = |action| {
        let path = hook.path.clone();
        move |source| HookError::Run { point, path, action, source }
    };
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.arguments.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed("cannot be started"))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook that does not read its state closes the pipe; that is its right.
        match input.write_all(state) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                end(&mut child);
                return Err(failed("cannot be given the state")(error));
            }
            _ => {}
        }
    }
    if !finished_in_time(&child, hook.timeout).map_err(failed("cannot be waited for"))? {
        end(&mut child);
        return Err(HookError::TimedOut {
            point,
            path: hook.path.clone(),
            timeout: hook.timeout.unwrap_or_default(),
        });
    }
    let status = child.wait().map_err(failed("cannot be waited for"))?;
    if status.success() {
        return Ok(());
    }
    let mut output = Vec::new();
    if let Some(errors) = child.stderr.take() {
        // A grandchild may keep the pipe open; what is in it now is enough.
        let _nonblocking = rustix::io::ioctl_fionbio(&errors, true);
        let _partial = errors.take(REPORTED_OUTPUT_BYTES).read_to_end(&mut output);
    }
    let output = String::from_utf8_lossy(&output).trim_end().to_owned();
    Err(HookError::Failed { point, path: hook.path.clone(), status, output })
}

fn finished_in_time(child: &Child, timeout: Option<Duration>) -> std::io::Result<bool> {
    let Some(timeout) = timeout else { return Ok(true) };
    let pidfd = open(child)?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn open(child: &Child) -> std::io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn end(child: &mut Child) {
    if let Ok(pidfd) = open(child) {
        let _already_gone = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
    }
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Option<Duration>) -> Hook {
        Hook {
            path: "/bin/sh".into(),
            arguments: vec!["sh".into(), "-c".into(), script.into()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            timeout,
        }
    }

    #[test]
    fn a_hook_reads_the_state_and_its_failure_carries_what_it_printed() {
        let state = State { id: "web-1".into(), status: "creating".into(), ..State::default() };
        let error =
            run_all("createRuntime", &[shell("cat >&2; exit 3", None)], &state).unwrap_err().to_string();
        assert!(error.contains("createRuntime hook /bin/sh: exit status: 3"), "{error}");
        assert!(error.contains(r#""id":"web-1""#), "{error}");
    }

    #[test]
    fn a_hook_that_hangs_is_killed_after_its_timeout() {
        let hook = shell("exec sleep 1000", Some(Duration::from_millis(50)));
        assert!(matches!(run_all("prestart", &[hook], &State::default()), Err(HookError::TimedOut { .. })));
    }

    #[test]
    fn a_hook_that_closes_its_input_is_no_failure() {
        let hook = shell("exec 0<&-; exit 0", None);
        let state = State { id: "x".repeat(1 << 20), ..State::default() };
        assert!(run_all("poststop", &[hook], &state).is_ok());
    }
}
