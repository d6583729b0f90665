//! Runs the commands of the story and prints its lines.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::node::Node;

/// Every command of the demo answers in far less.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Story<'a> {
    node: &'a Node,
    last_line: Instant,
}

impl<'a> Story<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, last_line: Instant::now() }
    }

    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// One line: the command, what came of it, and how long it took since the line before.
    pub(super) fn tell(&mut self, command: &str, outcome: &str) {
        let seconds = self.last_line.elapsed().as_secs_f64();
        println!("{command:>12}  {outcome}  ({seconds:.1} s)");
        self.last_line = Instant::now();
    }

    /// Runs crictl and returns what it printed; anything but exit code 0 is an error.
    pub(super) fn crictl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.node.command(["crictl"].iter().chain(arguments).copied()).run()?;
        Ok(output.trim_end().to_owned())
    }

    pub(super) fn write(&self, path: &str, content: &Value) -> Result<()> {
        self.node.command(["tee", path]).stdin(content.to_string()).run().map(drop)
    }

    /// Waits until the container's first process has ended.
    pub(super) fn wait_for_exit(&self, container: &str) -> Result<()> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while Instant::now() < deadline {
            let exited = self.crictl(&["ps", "--all", "--quiet", "--state", "Exited", "--id", container])?;
            if !exited.is_empty() {
                return Ok(());
            }
        }
        bail!("container {container} did not end within {} s", EXIT_TIMEOUT.as_secs())
    }
}
