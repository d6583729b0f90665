//! `cargo xtask`: the door to everything that is more than building.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use ballast_integration::bench::{self, Measurement};
use ballast_integration::critest::{self, Selection as Specs, Skipped, Target};
use ballast_integration::demo;
use ballast_integration::emulator;
use ballast_integration::gate::{self, Purpose};
use ballast_integration::node::protocol::Ending;
use ballast_integration::node::{Init, Node, NodeKind, NodeOptions, shell};
use ballast_integration::progress::Progress;
use ballast_integration::setup;
use ballast_integration::setup::ballast::Source;
use ballast_integration::setup::kernel::KernelChoice;
use ballast_integration::setup::layout::Layout;
use ballast_integration::test::{self, Selection};
use ballast_integration::tools::ContainerdLine;
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
    /// One pod's life on Ballast, told with crictl.
    Demo {
        #[command(flatten)]
        options: BootArguments,
    },
    /// Ballast's latency and memory beside runc's and crun's, measured in one run.
    Bench {
        #[command(flatten)]
        options: BootArguments,
        #[command(flatten)]
        measurement: BenchArguments,
    },
    /// What the shim does per request (system calls, processes, instructions, memory) against the budget that is checked in.
    Gate {
        /// Count what is in target/node/bin already instead of building the working tree's.
        #[arg(long)]
        installed: bool,
        /// Make what is counted the budget.
        #[arg(long)]
        record: bool,
    },
    /// What --proc of the benchmark runs on its node.
    #[command(hide = true)]
    ProcDriver {
        /// The directory with the reader, the server of views and lxcfs.
        programs: PathBuf,
        /// Reads of each file.
        reads: u32,
    },
    /// Kubernetes' conformance suite for container runtimes: a handler beside a baseline.
    Critest {
        #[command(flatten)]
        options: BootArguments,
        #[command(flatten)]
        suite: Box<CritestArguments>,
    },
    /// What needs no containerd here, then the rest on a node.
    Test {
        #[command(flatten)]
        options: BootArguments,
        /// Only this file of a `tests` directory, on its node (its name without .rs); may be repeated.
        #[arg(long = "suite")]
        suites: Vec<String>,
        /// For the test programs on the node: name filters and options such as --nocapture.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// The runtime's tests with real containers on a stock kernel with four CPUs in two cores, cpuset and PSI, in an emulated machine.
    Emulate {
        /// For the test program: a name filter and options such as --nocapture.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
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
struct BenchArguments {
    /// No node and no containerd: create, start, exit and delete by the runtime alone, on this machine's kernel, beside
    /// `runc run`, `crun run` and bare system calls.
    #[arg(long, conflicts_with_all = ["pods", "crowd", "widths", "log_mebibytes", "output_mebibytes", "html", "node", "kernel", "memory", "containerd", "bare", "installed"])]
    runtime_only: bool,
    /// What reading a file below `/proc` costs in a container with a view, beside the host's own file and lxcfs; with
    /// --runtime-only on this machine's kernel.
    #[arg(long, conflicts_with_all = ["pods", "iterations"])]
    proc: bool,
    /// Reads of each file in each measurement of --proc.
    #[arg(long, default_value_t = 2000, requires = "proc", value_parser = clap::value_parser!(u32).range(100..))]
    reads: u32,
    /// Also draw the results of --proc to this file, as SVG.
    #[arg(long, requires = "proc")]
    plot: Option<PathBuf>,
    /// Rounds of the latency measurements.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Pods at once in the memory measurements, rising.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50", value_parser = clap::value_parser!(u32).range(1..))]
    pods: Vec<u32>,
    /// Pods that are started together; without it as many, from 32 to 100, as a run of ten minutes leaves time for.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    crowd: Option<u32>,
    /// How many of them at a time, besides one, which the memory measurements do.
    #[arg(long, value_delimiter = ',', default_value = "8,32", value_parser = clap::value_parser!(u32).range(2..))]
    widths: Vec<u32>,
    /// What a container writes to its log in the measurements of logs, in MiB.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    log_mebibytes: u32,
    /// What a container writes to a reader that only counts, in MiB; a quarter of it through a terminal.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    output_mebibytes: u32,
    /// Also write the table to this file, as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Also write the results to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write the results to this file, as a page with plots.
    #[arg(long)]
    html: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CritestArguments {
    /// The runtime handler to test, any of containerd's.
    #[arg(long, default_value = "ballast")]
    handler: String,
    /// The runtime handler to compare with, or `none`: then every failure counts.
    #[arg(long, default_value = "runc")]
    baseline: String,
    /// Only specs whose full name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    focus: Option<String>,
    /// No specs whose full name matches this regular expression; may be repeated.
    #[arg(long, value_name = "REGEX")]
    skip: Vec<String>,
    /// How many specs run at the same time on each node.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// Run the suite this often in a row, and count.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Try a spec that fails again, up to this often in all; what then passes has passed, and is shown as retried.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Decides the order of the specs.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Fail when a spec skips itself.
    #[arg(long)]
    deny_skipped: bool,
    /// Run critest's benchmarks instead of its specs; --repeat then counts the rounds in which the handlers take turns.
    #[arg(long, conflicts_with_all = ["focus", "skip", "deny_skipped", "not_runnable", "nri_socket"])]
    benchmark: bool,
    /// Measurements of each operation in each round of --benchmark.
    #[arg(long, default_value_t = 30, requires = "benchmark", value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Run here against the container engine at this CRI socket; boots nothing, configures nothing.
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["node", "kernel", "memory", "containerd", "bare", "installed", "init"])]
    endpoint: Option<String>,
    /// The NRI socket for critest's NRI specs [default: containerd's, when critest has such specs].
    #[arg(long, value_name = "PATH")]
    nri_socket: Option<String>,
    /// The list of specs that no handler can pass [default: the project's for its own nodes, none with --endpoint].
    #[arg(long, value_name = "FILE")]
    not_runnable: Option<PathBuf>,
    /// The directory for report.html, report.md, junit.xml and critest's own output [default: target/critest].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// More options for critest, such as --websocket-exec.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl CritestArguments {
    fn target(&self, options: &BootArguments) -> Result<Target> {
        match &self.endpoint {
            Some(endpoint) => Ok(Target::Endpoint(endpoint.clone())),
            None => options.options().map(Target::Nodes),
        }
    }

    fn measurement(&self) -> Option<critest::Measurement> {
        let &Self { samples, parallel, repeat: rounds, .. } = self;
        self.benchmark.then_some(critest::Measurement { samples, parallel, rounds })
    }

    fn options(self, layout: &Layout) -> critest::Options {
        critest::Options {
            handler: self.handler,
            baseline: Some(self.baseline).filter(|name| name != "none"),
            selection: Specs {
                focus: self.focus,
                skip: self.skip,
                parallel: self.parallel,
                repeat: self.repeat,
                attempts: self.attempts,
                seed: self.seed,
                arguments: self.arguments,
            },
            skipped: if self.deny_skipped { Skipped::Denied } else { Skipped::Allowed },
            nri_socket: self.nri_socket,
            not_runnable: self.not_runnable,
            out: self.out.unwrap_or_else(|| layout.workspace().join("target/critest")),
        }
    }
}

#[derive(Debug, Args)]
struct BootArguments {
    /// Whose kernel the node runs; this machine's where it can.
    #[arg(long, value_enum)]
    node: Option<Kernel>,
    /// Which user-mode Linux kernel; implies `--node uml`.
    #[arg(long, value_enum)]
    kernel: Option<KernelChoice>,
    /// What is PID 1 on the node; systemd's implies `--node uml`.
    #[arg(long, value_enum, default_value_t)]
    init: Init,
    /// The node's memory in MiB.
    #[arg(long, default_value_t = 4096)]
    memory: u64,
    /// Which containerd.
    #[arg(long, value_enum, default_value_t)]
    containerd: Containerd,
    /// No containerd: a bare kernel.
    #[arg(long, conflicts_with = "containerd")]
    bare: bool,
    /// Run the Ballast that is in target/node/bin already instead of building the working tree's.
    #[arg(long)]
    installed: bool,
}

/// The containerd lines, as they are written on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Containerd {
    /// The current 2.x.
    #[default]
    #[value(name = "2")]
    V2,
    /// The long-term 1.7.
    #[value(name = "1.7")]
    V1_7,
}

/// Whose kernel, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kernel {
    /// A user-mode Linux of its own, on any machine.
    Uml,
    /// This machine's, in namespaces of the node's own: takes root and cgroup v2 with its controllers.
    Host,
}

impl BootArguments {
    fn options(&self) -> Result<NodeOptions> {
        let kind = match (self.node, self.kernel, self.init) {
            (Some(Kernel::Host), Some(_), _) => {
                bail!("--kernel chooses a user-mode Linux kernel, and --node host runs this machine's")
            }
            (Some(Kernel::Host), None, Init::Systemd) => {
                bail!("--init systemd takes a kernel of its own, and --node host runs this machine's")
            }
            (Some(Kernel::Host), None, Init::Agent) => NodeKind::Host,
            (None, None, Init::Agent) => NodeKind::automatic(),
            (Some(Kernel::Uml) | None, kernel, init) => NodeKind::Uml(kernel.unwrap_or_default(), init),
        };
        let line = match self.containerd {
            Containerd::V2 => ContainerdLine::V2,
            Containerd::V1_7 => ContainerdLine::V1_7,
        };
        let ballast = if self.installed { Source::Installed } else { Source::WorkingTree };
        let containerd = (!self.bare).then_some(line);
        Ok(NodeOptions { kind, memory: self.memory << 20, containerd, ballast })
    }
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
            setup::everything(&layout, &progress)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo { options } => {
            let node = Node::boot(&layout, &progress, &options.options()?)?;
            let told = demo::run(&node);
            node.shutdown()?;
            told.map(|()| ExitCode::SUCCESS)
        }
        Task::Bench { options, measurement } => {
            let BenchArguments { runtime_only, iterations, markdown, json, .. } = measurement;
            if measurement.proc {
                let BenchArguments { reads, plot, .. } = measurement;
                let measurement = bench::proc::Measurement { reads, markdown, json, plot };
                if runtime_only {
                    bench::proc::run_here(&layout, &progress, &measurement)?;
                } else {
                    bench::proc::run(&layout, &progress, &options.options()?, &measurement)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            if runtime_only {
                let measurement = bench::runtime_only::Measurement { iterations, markdown, json };
                bench::runtime_only::run(&layout, &progress, &measurement)?;
                return Ok(ExitCode::SUCCESS);
            }
            let BenchArguments { pods, crowd, widths, log_mebibytes, output_mebibytes, html, .. } =
                measurement;
            let measurement = Measurement {
                iterations,
                pods,
                crowd,
                widths,
                log_mebibytes,
                output_mebibytes,
                markdown,
                json,
                html,
            };
            bench::run(&layout, &progress, &options.options()?, &measurement)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Gate { installed, record } => {
            let purpose = if record { Purpose::Record } else { Purpose::Compare };
            let ballast = if installed { Source::Installed } else { Source::WorkingTree };
            gate::run(&layout, &progress, ballast, purpose)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::ProcDriver { programs, reads } => {
            bench::proc::drive(&programs, reads)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Critest { options, suite } => {
            let target = suite.target(&options)?;
            if let Some(measurement) = suite.measurement() {
                critest::benchmark(&layout, &progress, &target, &suite.options(&layout), measurement)?;
                return Ok(ExitCode::SUCCESS);
            }
            let passed = critest::run(&layout, &progress, &target, &suite.options(&layout))?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Task::Test { options, suites, arguments } => {
            let selection = Selection { suites, arguments };
            test::run(&layout, &progress, &options.options()?, &selection)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Emulate { arguments } => {
            let passed = emulator::run(&layout, &progress, &arguments)?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Task::Node { options, task } => {
            let node = Node::boot(&layout, &progress, &options.options()?)?;
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
