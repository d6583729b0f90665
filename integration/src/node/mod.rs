//! The test node: a place with unified cgroup v2 where commands run as root and may break things.
//!
//! [`Node::boot`] returns when the node serves; [`Node::command`] runs something on it; dropping the node ends
//! every process of it and leaves nothing behind but its logs.

mod channel;
pub mod command;
pub mod cpu;
pub mod host;
pub(crate) mod host_cgroup;
mod leftovers;
mod machine;
pub mod protocol;
pub mod shell;
mod uml;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::Timespec;

use crate::progress::{self, Progress};
use crate::setup::ballast::Source;
use crate::setup::kernel::KernelChoice;
use crate::setup::layout::Layout;
use crate::setup::{self, Guest, Tree, rootfs};
use crate::tools::ContainerdLine;
use channel::Channel;
use command::NodeCommand;
use host_cgroup::HostCgroup;
use machine::Machine;
use protocol::{BootConfig, Engine, Request, Share, ShareSource};

/// Where containerd looks for CNI plugins by default.
const CNI_PLUGINS: &str = "/opt/cni/bin";

/// Boots whose logs are kept.
const KEPT_LOGS: usize = 10;

/// What a node gets to write back its logs and stop.
const POWER_OFF_DEADLINE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Whose kernel the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A user-mode Linux kernel of its own, and what is PID 1 on it.
    Uml(KernelChoice, Init),
    /// This machine's, where [`host::check`] finds that it can.
    Host,
}

/// What is PID 1 on a node with a kernel of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Init {
    /// The node's agent: up in two seconds, and cgroups belong to who makes them.
    #[default]
    Agent,
    /// systemd, which owns the cgroups, as on most nodes of a cluster; the agent and containerd are its services.
    Systemd,
}

impl NodeKind {
    /// This machine's kernel where that is possible, else one of its own; tells which and why on standard error.
    #[must_use]
    pub fn automatic() -> Self {
        match host::check() {
            Ok(()) => {
                eprintln!("  node: this machine's kernel, in namespaces of its own");
                Self::Host
            }
            Err(error) => {
                eprintln!("  node: user-mode Linux, because this machine cannot be one: {error:#}");
                Self::Uml(KernelChoice::default(), Init::Agent)
            }
        }
    }

    /// The same with systemd as PID 1, which takes a kernel of its own.
    #[must_use]
    pub fn with_systemd(self) -> Self {
        match self {
            Self::Uml(kernel, _) => Self::Uml(kernel, Init::Systemd),
            Self::Host => Self::Uml(KernelChoice::default(), Init::Systemd),
        }
    }
}

/// What kind of node, and what runs on it.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Whose kernel.
    pub kind: NodeKind,
    /// Bytes; on this machine's kernel a limit. The files that the node writes may take half as much again.
    pub memory: u64,
    /// Which containerd runs on it; `None` for a bare kernel, which needs nothing but the guest's image.
    pub containerd: Option<ContainerdLine>,
    /// Which Ballast; without containerd there is none.
    pub ballast: Source,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            kind: NodeKind::Uml(KernelChoice::Fast, Init::Agent),
            memory: 4 << 30,
            containerd: Some(ContainerdLine::V2),
            ballast: Source::default(),
        }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    channel: Channel,
    /// Dropped first: what follows can go when its processes are gone.
    machine: Machine,
    host: Option<HostPlace>,
    logs: PathBuf,
}

/// What a node on this machine's kernel takes of the machine.
#[derive(Debug)]
struct HostPlace {
    cgroup: HostCgroup,
    mount_point: host::MountPoint,
}

/// A prepared place for a node.
#[derive(Clone, Debug)]
pub enum Place {
    /// A user-mode Linux kernel, and what is PID 1 on it.
    Uml(Guest, Init),
    /// This machine's kernel.
    Host(Tree),
}

impl Place {
    fn init(&self) -> Init {
        match self {
            Self::Uml(_, init) => *init,
            Self::Host(_) => Init::Agent,
        }
    }
}

/// How much the node may write to its memory-backed files, in bytes.
fn scratch(memory: u64) -> u64 {
    memory + memory / 2
}

impl Node {
    /// Prepares what is missing and boots.
    ///
    /// # Errors
    /// The step that failed, with the path of its log.
    pub fn boot(layout: &Layout, progress: &Progress, options: &NodeOptions) -> Result<Self> {
        let place = match options.kind {
            NodeKind::Uml(kernel, init) => Place::Uml(setup::guest(layout, progress, kernel)?, init),
            NodeKind::Host => {
                host::check().context("this machine's kernel cannot be the node's")?;
                Place::Host(setup::tree(layout, progress)?)
            }
        };
        let engine = options
            .containerd
            .map(|line| setup::engine(layout, progress, line, options.ballast))
            .transpose()?;
        progress.step("boot", |_| Self::start(layout, &place, engine.as_ref(), options.memory))
    }

    /// Boots what is prepared; `memory` as in [`NodeOptions`].
    ///
    /// # Errors
    /// Why it did not come up, with the path of its logs.
    pub fn start(
        layout: &Layout,
        place: &Place,
        engine: Option<&setup::Engine>,
        memory: u64,
    ) -> Result<Self> {
        let (logs, boot) = logs_of_next_boot(layout)?;
        let console_log = logs.join("console.log");
        let (command, host) = match place {
            Place::Uml(guest, init) => {
                (uml::command(guest, *init, memory, scratch(memory), cpu::of_boot(boot)?), None)
            }
            Place::Host(tree) => {
                let host = HostPlace {
                    cgroup: HostCgroup::create(Some(memory + scratch(memory)))?,
                    mount_point: host::MountPoint::create()?,
                };
                (host::command(tree, &host.cgroup, &host.mount_point, scratch(memory)), Some(host))
            }
        };
        let (machine, stream) = Machine::start(command, &console_log)?;
        let config = boot_config(layout, place, engine, &logs);
        let writer = stream.try_clone().context("duplicate the stream to the node")?;
        let channel = Channel::connect(stream, writer, config)
            .with_context(|| console_tail(&console_log))
            .with_context(|| format!("the node did not come up, its logs: {}", logs.display()))?;
        Ok(Self { channel, machine, host, logs })
    }

    /// A command to run on the node.
    pub fn command<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> NodeCommand {
        NodeCommand::new(self.channel.clone(), argv.into_iter().map(Into::into).collect())
    }

    /// Whether it runs this machine's kernel, not one of its own.
    #[must_use]
    pub fn shares_the_kernel(&self) -> bool {
        self.host.is_some()
    }

    /// Where this boot's logs are (`console.log`, `containerd.log`): a host path, writable on the node under the
    /// same name.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Writes back what the node's page cache holds of [`Node::logs`], so that the host sees all of it.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn flush_logs(&self) -> Result<()> {
        self.command(["sync".to_owned(), "--file-system".to_owned(), self.logs.display().to_string()])
            .run()
            .map(drop)
    }

    /// Powers the node off, with its logs complete, and returns when it is gone.
    ///
    /// # Errors
    /// When the node died before, or did not power off in time and was killed.
    pub fn shutdown(self) -> Result<()> {
        self.channel.send(&Request::PowerOff)?;
        if !self.machine.ends_within(&POWER_OFF_DEADLINE)? {
            bail!("the node did not power off and was killed, its logs: {}", self.logs.display());
        }
        Ok(())
    }
}

/// What the node's agent is told. Host directories that programs name are at the same path on the node.
fn boot_config(layout: &Layout, place: &Place, engine: Option<&setup::Engine>, logs: &Path) -> BootConfig {
    let share = |host: &Path, node: &Path, writable| share(place, host, node, writable);
    let mut shares = vec![
        share(layout.workspace(), layout.workspace(), false),
        share(layout.target(), layout.target(), false),
        share(logs, logs, true),
    ];
    let mut path = vec![layout.bin().display().to_string()];
    let engine = engine.map(|engine| {
        shares.push(share(&engine.tools.cni_directory(), Path::new(CNI_PLUGINS), false));
        shares.push(share(engine.registry.path(), Path::new(rootfs::REGISTRY_ROOT), false));
        let programs = engine.tools.bin_directory().display().to_string();
        path.push(programs.clone());
        Engine {
            config: rootfs::containerd_configuration_path(engine.line, place.init()),
            directory: engine.tools.containerd_directory(engine.line).display().to_string(),
            registry: vec![
                format!("{programs}/registry"),
                "serve".to_owned(),
                rootfs::REGISTRY_CONFIGURATION_PATH.to_owned(),
            ],
            registry_address: rootfs::REGISTRY_ADDRESS.to_owned(),
        }
    });
    BootConfig { shares, path, logs: logs.display().to_string(), engine }
}

fn share(place: &Place, host: &Path, node: &Path, writable: bool) -> Share {
    let below = |root: &str| format!("{root}{}", host.display());
    let source = match place {
        Place::Uml(..) => ShareSource::Hostfs(below(uml::HOSTFS_ROOT)),
        Place::Host(_) => ShareSource::Bind(below(host::MACHINE_ROOT)),
    };
    Share { source, path: node.display().to_string(), writable }
}

fn console_tail(path: &Path) -> String {
    match progress::tail(path, 2_000) {
        Ok(text) => format!("its console says:\n{}", text.trim_end()),
        Err(error) => format!("its console log {}: {error}", path.display()),
    }
}

/// A new directory for this boot's logs, and the boot's number; the logs of old boots are removed.
fn logs_of_next_boot(layout: &Layout) -> Result<(PathBuf, u64)> {
    let parent = layout.node().join("log");
    let mut numbers: Vec<u64> = std::fs::read_dir(&parent)
        .with_context(|| format!("read {}", parent.display()))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("boot-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    for old in numbers.iter().rev().skip(KEPT_LOGS) {
        setup::cache::remove(&parent.join(format!("boot-{old}")))?;
    }
    let mut next = numbers.last().map_or(1, |last| last + 1);
    loop {
        let logs = parent.join(format!("boot-{next}"));
        match std::fs::create_dir(&logs) {
            Ok(()) => return Ok((logs, next)),
            // Another run took it between our look and now.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => next += 1,
            Err(error) => return Err(error).with_context(|| format!("create {}", logs.display())),
        }
    }
}
