//! The test node's own program: PID 1, the server of the host's commands, and containerd's keeper.
//!
//! * As PID 1 of a kernel, `node-agent <channel>`: mounts, then reaps, then powers off when the server ends.
//! * As PID 1 of a process namespace, `node-agent contained <channel>`: the same, ending with the server.
//! * As a service of systemd, `node-agent service <channel>`: serves on what systemd has set up.
//! * `node-agent serve <channel>`: runs the host's commands; `<channel>` is a character device or `-` for
//!   standard input and output.
//! * `node-containerd start|stop|restart|kill` (the same binary by another name): for tests and people on the node;
//!   `run` is for systemd.
#![forbid(unsafe_code)]

mod containerd;
mod init;
mod mounts;
mod serve;
mod session;
mod systemd;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", arguments.first().map_or("node-agent", String::as_str));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (name, rest) = arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let called_as = Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned());
    match (called_as.as_deref(), words.as_slice()) {
        (Some("node-containerd"), [verb]) => containerd::command(verb),
        (Some("node-containerd"), _) => bail!("usage: node-containerd start|stop|restart|kill"),
        (_, ["serve", channel]) => serve::serve(channel),
        (_, ["service", channel]) => init::run_as_service(channel),
        (_, ["contained", channel]) if std::process::id() == 1 => init::run_contained(channel),
        // The kernel may have added arguments of its own.
        (_, [channel, ..]) if std::process::id() == 1 => init::run(channel),
        _ => bail!("usage: node-agent serve <channel>"),
    }
}
