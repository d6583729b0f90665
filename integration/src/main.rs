//! `cargo xtask`: the door to everything that is more than building.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use ballast_integration::node::protocol::Ending;
use ballast_integration::node::{Node, NodeOptions, shell};
use ballast_integration::progress::Progress;
use ballast_integration::setup;
use ballast_integration::setup::kernel::KernelChoice;
use ballast_integration::setup::layout::Layout;
use clap::{Args, Parser, Subcommand};

/// Build, boot and test Ballast on a node of its own.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install and build everything that the other tasks need.
    Setup,
    /// Boot a node and run something on it.
    Node {
        #[command(flatten)]
        options: BootArguments,
        #[command(subcommand)]
        task: NodeTask,
    },
}

#[derive(Debug, Subcommand)]
enum NodeTask {
    /// An interactive shell on the node.
    Shell,
    /// One command on the node; its exit code is this command's.
    Run {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct BootArguments {
    /// Which kernel.
    #[arg(long, value_enum, default_value_t)]
    kernel: KernelChoice,
    /// The node's memory in MiB.
    #[arg(long, default_value_t = 4096)]
    memory: u64,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let layout = Layout::discover()?;
    let progress = Progress::new(layout.setup_logs())?;
    match task {
        Task::Setup => {
            setup::guest(&layout, &progress, KernelChoice::Fast)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Node { options, task } => {
            let options = NodeOptions { kernel: options.kernel, memory: options.memory << 20 };
            let node = Node::boot(&layout, &progress, &options)?;
            let ending = match task {
                NodeTask::Shell => shell::shell(&node)?,
                NodeTask::Run { command } => shell::attach(node.command(command))?,
            };
            node.shutdown()?;
            Ok(exit_code(&ending))
        }
    }
}

/// As a shell would report it.
fn exit_code(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Code(code) => ExitCode::from(u8::try_from(*code).unwrap_or(u8::MAX)),
        Ending::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Ending::NotStarted(_) => ExitCode::from(127),
    }
}
