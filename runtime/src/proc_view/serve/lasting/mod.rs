//! `/proc/cpuinfo` and `/sys/devices/system/cpu`: what changes only when the container's CPUs do.
//!
//! The kernel keeps what it was told, and readers are served from its page cache without anybody being asked: `open` is
//! answered once with `ENOSYS`, which means always granted. An update of the container drops what is kept; a change from
//! elsewhere (of the pod's cgroup, of the machine's CPUs) is found when the kernel asks for a file's attributes again, which
//! it does once a second if there is a reader. CPUs are as many cores of one socket, as in `cpuinfo`; files for changing the
//! machine are not there.

mod host;
mod node;

use super::attributes::{Attributes, FOREVER, Kind, ROOT};
use super::directory::{Directories, Directory, ITSELF, Place};
use super::handles::part;
use super::notice::Notices;
use crate::proc_view::render::{CPU_TOPOLOGY, CpuTopology, no_cpus};
use crate::proc_view::{ShownCpus, Texts, ViewFile};
use fuse_backend_rs::abi::fuse_abi::{FsOptions, OpenOptions, stat64};
use fuse_backend_rs::api::filesystem::{Context, DirEntry, Entry, FileSystem, ZeroCopyWriter};
use host::HostCpuDirectory;
use node::{CACHE_FILES, MACHINE_FILES, MachineFile, Node};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel believes what can change.
const VALID: Duration = Duration::from_secs(1);

/// A cache of this level and above is shared by all CPUs, as there is one socket; one below belongs to one CPU.
const SHARED_CACHE_LEVEL: u32 = 3;

/// Where `/proc/cpuinfo` is, and `/sys/devices/system/cpu`.
pub(crate) const CPU_INFO: &str = "cpuinfo";
pub(crate) const CPUS: &str = "cpu";

/// What is in a container's directory.
const TOP: [(&str, Node); 2] = [(CPU_INFO, Node::CpuInfo), (CPUS, Node::Cpus)];

/// The directories of all containers.
#[derive(Debug)]
pub(super) struct LastingFiles<T>(Directories<Made<T>>);

/// What the files were last made from, and of.
#[derive(Debug)]
struct Made<T> {
    directory: Directory,
    texts: T,
    /// Since when it is so.
    changed: Duration,
    cpus: Option<ShownCpus>,
    /// Made for its first reader; what it is made of is costly on large machines.
    cpuinfo: Option<Box<[u8]>>,
    host: HostCpuDirectory,
    text: Vec<u8>,
}

/// Has the kernel ask again for what an update of a container can have changed.
pub(super) fn invalidate(notices: &Notices, directory: Directory) {
    let lists = ViewFile::ALL.into_iter().filter(|file| is_list(*file)).map(Node::List);
    for node in [Node::CpuInfo, Node::Cpus].into_iter().chain(lists) {
        notices.invalidate(directory.id(node.id()));
    }
}

/// What is told of a file that is looked up: nothing but that it is there, so that nothing is made of which no reader is in sight.
/// The view's files are looked up before the container is there.
fn unread(directory: Directory, node: Node, changed: Duration) -> Attributes {
    let id = directory.id(node.id());
    if node.is_directory() {
        return Attributes::of_directory(id, changed);
    }
    Attributes { id, kind: Kind::File { mode: 0o444, size: 0 }, changed, valid: Duration::ZERO }
}

fn is_list(file: ViewFile) -> bool {
    file.is_lasting() && file != ViewFile::CpuInfo
}

impl<T> Default for LastingFiles<T> {
    fn default() -> Self {
        Self(Directories::default())
    }
}

impl<T: Texts> LastingFiles<T> {
    pub(super) fn add(&self, directory: Directory) {
        self.0.add(directory);
    }

    pub(super) fn fill(&self, directory: Directory, texts: T) {
        let (changed, host) = (Duration::ZERO, HostCpuDirectory::default());
        let made = Made { directory, texts, changed, cpus: None, cpuinfo: None, host, text: Vec::new() };
        self.0.fill(directory, made);
    }

    pub(super) fn remove(&self, directory: Directory) {
        self.0.remove(directory);
    }

    /// Takes a step about a node of a directory.
    fn with<R>(&self, id: u64, step: impl FnOnce(&mut Made<T>, Node) -> Result<R, Errno>) -> io::Result<R> {
        let Some(Place::Within(directory, within)) = Place::of(id) else { return Err(Errno::NOENT.into()) };
        let node = Node::of(within).ok_or(Errno::NOENT)?;
        Ok(self.0.with(directory, |made| step(made, node))?)
    }
}

impl<T: Texts> Made<T> {
    fn id(&self, node: Node) -> u64 {
        self.directory.id(node.id())
    }

    /// Looks at the CPUs, and returns their number.
    fn look(&mut self) -> Result<u32, Errno> {
        let cpus = self.texts.cpus()?;
        let count = cpus.count;
        if self.cpus.as_ref() != Some(&cpus) {
            self.cpus = Some(cpus);
            self.cpuinfo = None;
            self.changed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        }
        Ok(count)
    }

    fn attributes(&mut self, node: Node) -> Result<Attributes, Errno> {
        let (kind, valid) = if node.is_directory() {
            self.check_existence(node)?;
            (Kind::Directory, FOREVER)
        } else {
            let size = u64::try_from(self.text(node)?.len()).unwrap_or_default();
            (Kind::File { mode: 0o444, size }, VALID)
        };
        Ok(Attributes { id: self.id(node), kind, changed: self.changed, valid })
    }

    /// What a look-up is told.
    fn found(&mut self, node: Node) -> Result<Attributes, Errno> {
        if node.is_directory() {
            return self.attributes(node);
        }
        Ok(unread(self.directory, node, self.changed))
    }

    /// A CPU's files are there if the CPU is; nothing is looked at for the others.
    fn check_existence(&mut self, node: Node) -> Result<(), Errno> {
        match node.cpu() {
            Some(cpu) if cpu >= self.look()? => Err(Errno::NOENT),
            _ => Ok(()),
        }
    }

    fn text(&mut self, node: Node) -> Result<&[u8], Errno> {
        let count = self.look()?;
        self.check_existence(node)?;
        self.text.clear();
        let out = &mut self.text;
        match node {
            Node::CpuInfo => {
                let cpuinfo = match &mut self.cpuinfo {
                    Some(made) => made,
                    unmade => {
                        self.texts.write(ViewFile::CpuInfo, out)?;
                        unmade.insert(out.as_slice().into())
                    }
                };
                return Ok(cpuinfo);
            }
            Node::List(file) => self.texts.write(file, out)?,
            Node::Machine(file) => match MACHINE_FILES.get(usize::from(file)).ok_or(Errno::NOENT)? {
                (_, MachineFile::NoCpus) => no_cpus(out),
                (name, MachineFile::Host) => self.host.read(name, out)?,
            },
            Node::Vulnerability(position) => self.host.read_vulnerability(position, out)?,
            Node::CpuOnline(_) => out.extend_from_slice(b"1\n"),
            Node::TopologyFile(cpu, (_, what)) => what.write(out, cpu, count),
            Node::CacheFile(cpu, index, file) => {
                let name = CACHE_FILES.get(usize::from(file)).ok_or(Errno::NOENT)?;
                let is_shared = self.host.cache_level(index)? >= SHARED_CACHE_LEVEL;
                match (*name, is_shared) {
                    ("id" | "shared_cpu_list", false) => CpuTopology::Own.write(out, cpu, count),
                    ("shared_cpu_map", false) => CpuTopology::OwnMask.write(out, cpu, count),
                    ("id", true) => CpuTopology::Zero.write(out, cpu, count),
                    ("shared_cpu_list", true) => CpuTopology::AllList.write(out, cpu, count),
                    ("shared_cpu_map", true) => CpuTopology::AllMask.write(out, cpu, count),
                    (name, _) => self.host.read_cache(index, name, out)?,
                }
            }
            _ => return Err(Errno::ISDIR),
        }
        Ok(&self.text)
    }

    /// What is in a directory.
    fn children(&mut self, node: Node) -> Result<Vec<(String, Node)>, Errno> {
        self.check_existence(node)?;
        let named = |name: &str, node| (name.to_owned(), node);
        Ok(match node {
            Node::Itself => TOP.into_iter().map(|(name, node)| named(name, node)).collect(),
            Node::Cpus => {
                let cpus = (0..self.look()?).map(|cpu| (format!("cpu{cpu}"), Node::Cpu(cpu)));
                let lists = ViewFile::ALL.into_iter().filter(|file| is_list(*file));
                let lists = lists.map(|file| named(file.name(), Node::List(file)));
                let machine = MACHINE_FILES.iter().zip(0..).filter(|((name, _), _)| self.host.has(name));
                let machine = machine.map(|((name, _), position)| named(name, Node::Machine(position)));
                let vulnerabilities = self.host.has("vulnerabilities").then_some(Node::Vulnerabilities);
                let vulnerabilities = vulnerabilities.map(|node| named("vulnerabilities", node));
                cpus.chain(lists).chain(machine).chain(vulnerabilities).collect()
            }
            Node::Vulnerabilities => {
                let names = self.host.vulnerabilities().iter().zip(0..);
                names.map(|(name, position)| named(name, Node::Vulnerability(position))).collect()
            }
            Node::Cpu(cpu) => {
                // The first cannot be taken off line on most machines and has no such file.
                let online = (cpu > 0).then(|| named("online", Node::CpuOnline(cpu)));
                let caches = (self.host.cache_count() > 0).then(|| named("cache", Node::Caches(cpu)));
                [Some(named("topology", Node::Topology(cpu))), online, caches].into_iter().flatten().collect()
            }
            Node::Topology(cpu) => {
                CPU_TOPOLOGY.iter().map(|file| named(file.0, Node::TopologyFile(cpu, file))).collect()
            }
            Node::Caches(cpu) => (0..self.host.cache_count())
                .map(|index| (format!("index{index}"), Node::Cache(cpu, index)))
                .collect(),
            Node::Cache(cpu, index) => CACHE_FILES
                .iter()
                .zip(0..)
                .filter(|(name, _)| self.host.has_cache_file(index, name))
                .map(|(name, file)| named(name, Node::CacheFile(cpu, index, file)))
                .collect(),
            _ => return Err(Errno::NOTDIR),
        })
    }

    fn look_up(&mut self, parent: Node, name: &[u8]) -> Result<Node, Errno> {
        let children = self.children(parent)?;
        let found = children.into_iter().find(|(child, _)| child.as_bytes() == name);
        found.map(|(_, node)| node).ok_or(Errno::NOENT)
    }
}

impl<T: Texts> FileSystem for LastingFiles<T> {
    type Inode = u64;
    type Handle = u64;

    /// What is kept is dropped when attributes that were asked for again have another time or size.
    fn init(&self, _capable: FsOptions) -> io::Result<FsOptions> {
        Ok(FsOptions::AUTO_INVAL_DATA | FsOptions::ZERO_MESSAGE_OPEN)
    }

    fn lookup(&self, _: &Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        match Place::of(parent) {
            Some(Place::Root) => {
                let directory = self.0.look_up(name)?;
                return Ok(Attributes::of_directory(directory.id(ITSELF), Duration::ZERO).entry(FOREVER));
            }
            // Known before there is anything to be read.
            Some(Place::Within(directory, ITSELF)) => {
                self.0.check(directory)?;
                let (_, node) = TOP
                    .into_iter()
                    .find(|(known, _)| known.as_bytes() == name.to_bytes())
                    .ok_or(Errno::NOENT)?;
                return Ok(unread(directory, node, Duration::ZERO).entry(FOREVER));
            }
            _ => {}
        }
        self.with(parent, |made, parent| {
            let child = made.look_up(parent, name.to_bytes())?;
            // A CPU's directory goes with the CPU, any other name stays.
            let valid = if matches!(child, Node::Cpu(_)) { VALID } else { FOREVER };
            Ok(made.found(child)?.entry(valid))
        })
    }

    fn getattr(&self, _: &Context, node: u64, _handle: Option<u64>) -> io::Result<(stat64, Duration)> {
        if node == ROOT {
            return Ok((Attributes::of_directory(ROOT, Duration::ZERO).stat(), FOREVER));
        }
        self.with(node, |made, node| {
            made.attributes(node).map(|attributes| (attributes.stat(), attributes.valid))
        })
    }

    /// Granted, and the kernel need not ask again.
    fn open(
        &self,
        _: &Context,
        _node: u64,
        _flags: u32,
        _fuse_flags: u32,
    ) -> io::Result<(Option<u64>, OpenOptions, Option<u32>)> {
        Err(Errno::NOSYS.into())
    }

    fn read(
        &self,
        _: &Context,
        node: u64,
        _handle: u64,
        answer: &mut dyn ZeroCopyWriter,
        size: u32,
        offset: u64,
        _lock_owner: Option<u64>,
        _flags: u32,
    ) -> io::Result<usize> {
        self.with(node, |made, node| {
            let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
            let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
            let piece = part(made.text(node)?, offset, size);
            answer.write_all(piece).map_err(|_| Errno::IO)?;
            Ok(piece.len())
        })
    }

    fn readdir(
        &self,
        _: &Context,
        node: u64,
        _handle: u64,
        _size: u32,
        offset: u64,
        add_entry: &mut dyn FnMut(DirEntry<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        // Whoever needs a container's directory knows its name.
        if node == ROOT {
            return Ok(());
        }
        self.with(node, |made, node| {
            let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
            let (children, made) = (made.children(node)?, &*made);
            // Until one does not fit.
            let _all = children.iter().zip(1..).skip(skipped).all(|((name, child), offset)| {
                let kind =
                    if child.is_directory() { Kind::Directory } else { Kind::File { mode: 0o444, size: 0 } };
                let type_ = kind.entry_type();
                let entry = DirEntry { ino: made.id(*child), offset, type_, name: name.as_bytes() };
                matches!(add_entry(entry), Ok(1..))
            });
            Ok(())
        })
    }
}
