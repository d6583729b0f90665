//! Containers with a view of `/proc`, served by this process as a shim serves them.
//!
//! ```text
//! proc_view BUNDLE PREFIX      one more container per line of standard input, answered by a line: its first process's pid
//! ```
//!
//! At the end of the input all of them end.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ballast_runtime::{Container, CreateOptions, CreateRequest, Process, ProcessIo, Runtime, report, sys};
use rustix::event::{PollFd, PollFlags, poll};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proc_view: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(bundle), Some(prefix), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: proc_view BUNDLE PREFIX".into());
    };
    // Before anything else: the spawner has to be forked while there is one thread.
    let runtime = Arc::new(Runtime::start()?);
    let mut containers = Vec::new();
    let served = serve(&runtime, Path::new(&bundle), &prefix, &mut containers);
    let ended = containers.iter().try_for_each(|(container, process)| end(container, process));
    served.and(ended)
}

fn serve(
    runtime: &Arc<Runtime>,
    bundle: &Path,
    prefix: &str,
    containers: &mut Vec<(Container, Process)>,
) -> Result<(), Failure> {
    let mut output = stdout().lock();
    for line in stdin().lock().lines() {
        line?;
        let request = CreateRequest {
            namespace: "proc_view".into(),
            shim: prefix.into(),
            id: format!("{prefix}-{}", containers.len()),
            bundle: bundle.to_owned(),
            rootfs: Vec::new(),
            io: ProcessIo::Streams { stdin: None, stdout: None, stderr: None },
            options: CreateOptions::default(),
        };
        let (container, process) = Container::create(runtime, request)?;
        let pid = process.pid();
        let has_view = container.describe_view().is_some();
        containers.push((container, process));
        if !has_view {
            return Err("the container has no view".into());
        }
        writeln!(output, "{pid}")?;
        output.flush()?;
    }
    Ok(())
}

fn end(container: &Container, process: &Process) -> Result<(), Failure> {
    container.signal_all(9)?;
    loop {
        poll(&mut [PollFd::new(&process.pidfd(), PollFlags::IN)], None)?;
        if sys::wait::reap(process.pidfd())?.is_some() {
            break;
        }
    }
    Ok(container.delete()?)
}
