//! Who is measured: a program that stays and lives one container's life per line, or a command per life.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// One contender.
#[derive(Debug)]
pub(super) struct Contender {
    name: &'static str,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Answers a line with the nanoseconds that a life took.
    Resident { child: Child, input: ChildStdin, output: BufReader<ChildStdout> },
    /// `<program> run`, as people call a runtime; its start is part of the life.
    Command { program: PathBuf, bundle: PathBuf },
}

impl Contender {
    pub(super) fn resident<A: AsRef<OsStr>>(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("no pipe to the program")?;
        let output = BufReader::new(child.stdout.take().context("no pipe from the program")?);
        Ok(Self { name, way: Way::Resident { child, input, output } })
    }

    pub(super) fn command(name: &'static str, program: &Path, bundle: &Path) -> Self {
        Self { name, way: Way::Command { program: program.to_owned(), bundle: bundle.to_owned() } }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// One container's life, in nanoseconds.
    pub(super) fn live(&mut self) -> Result<u64> {
        let name = self.name;
        match &mut self.way {
            Way::Resident { input, output, .. } => {
                input.write_all(b"\n").with_context(|| format!("ask {name}"))?;
                let mut line = String::new();
                output.read_line(&mut line).with_context(|| format!("read from {name}"))?;
                line.trim().parse().with_context(|| format!("{name} answered {line:?}"))
            }
            Way::Command { program, bundle } => {
                let began = Instant::now();
                let status = Command::new(&*program)
                    .args(["run", "--bundle"])
                    .arg(bundle)
                    .arg(format!("ballast-bench-{name}"))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .status()
                    .with_context(|| format!("start {}", program.display()))?;
                let nanoseconds = u64::try_from(began.elapsed().as_nanos())?;
                if !status.success() {
                    bail!("{name} run: {status}");
                }
                Ok(nanoseconds)
            }
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Way::Resident { child, .. } = &mut self.way {
            // Its input ends with this process's; killing it is for the one that hangs.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
