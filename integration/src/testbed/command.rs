//! Commands on the node and what came of them.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output; what is not UTF-8 shows as replacement characters.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Outcome {
    /// Standard output of a command that must not fail.
    #[track_caller]
    pub fn expect_success(self, what: &str) -> String {
        assert_eq!(self.code, Some(0), "{what} failed: {}{}", self.stderr, self.stdout);
        self.stdout
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs a command without input.
pub fn run(program: &str, arguments: &[&str]) -> Outcome {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// Runs crictl; must succeed. Without the last line's end.
#[track_caller]
pub fn crictl(arguments: &[&str]) -> String {
    run("crictl", arguments).expect_success(&format!("crictl {arguments:?}")).trim_end().to_owned()
}

/// Runs crictl with this standard input.
pub fn crictl_with_input(arguments: &[&str], input: &str) -> Outcome {
    let mut child = Command::new("crictl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finish(child)
}

/// Waits for a command started with its output on pipes.
pub fn finish(child: Child) -> Outcome {
    child.wait_with_output().unwrap().into()
}
