//! Whole lives of a bundle's container by the runtime alone: create, start, wait, delete. What a shim does per container,
//! without the shim.
//!
//! ```text
//! lifecycle BUNDLE ID      one life per line of standard input, answered by a line: its nanoseconds
//! ```

use std::io::{BufRead, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use ballast_runtime::{Container, CreateOptions, CreateRequest, Process, ProcessIo, Runtime, report, sys};
use rustix::event::{PollFd, PollFlags, poll};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lifecycle: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(bundle), Some(id), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: lifecycle BUNDLE ID".into());
    };
    // Before anything else: the spawner has to be forked while there is one thread.
    let runtime = Arc::new(Runtime::start()?);
    let mut output = stdout().lock();
    for line in stdin().lock().lines() {
        line?;
        let began = Instant::now();
        live(&runtime, Path::new(&bundle), &id)?;
        writeln!(output, "{}", began.elapsed().as_nanos())?;
        output.flush()?;
    }
    Ok(())
}

fn live(runtime: &Arc<Runtime>, bundle: &Path, id: &str) -> Result<(), Failure> {
    let request = CreateRequest {
        namespace: "lifecycle".into(),
        shim: id.into(),
        id: id.into(),
        bundle: PathBuf::from(bundle),
        rootfs: Vec::new(),
        io: ProcessIo::Streams { stdin: None, stdout: None, stderr: None },
        options: CreateOptions::default(),
    };
    let (container, process) = Container::create(runtime, request)?;
    let started = process.start();
    let status = wait(&process);
    container.delete()?;
    started?;
    match status? {
        0 => Ok(()),
        status => Err(format!("the container ended with status {status}").into()),
    }
}

fn wait(process: &Process) -> Result<u32, Failure> {
    loop {
        poll(&mut [PollFd::new(&process.pidfd(), PollFlags::IN)], None)?;
        if let Some(status) = sys::wait::reap(process.pidfd())? {
            return Ok(status);
        }
    }
}
