//! The files of this machine's kernel.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::files::{Disk, Files};
use crate::attribute::{read_attribute, remove_attribute, write_attribute};
use crate::directory::{Directory, read_whole};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::limits::{DeviceNumber, Limits, UnifiedFile};
use crate::subtree::{Visitor, walk};
use crate::systemd::tell_unit;

const NOTE: &str = "trusted.ballast.priority";

/// Devices that are made of others, or of memory. What lies below them is a disk of its own.
const NO_DISKS: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];

/// This machine's cgroups. For one request: what is opened stays open, so that all of it concerns the same cgroups.
pub(super) struct Live<'a> {
    hierarchy: &'a Hierarchy,
    owner: Owner,
    opened: RefCell<BTreeMap<String, Rc<Directory>>>,
}

/// Whose the container's cgroup and its pod's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Directories of ours and kubelet's.
    Nobody,
    /// Scopes and slices.
    Systemd,
}

impl<'a> Live<'a> {
    pub(super) fn new(hierarchy: &'a Hierarchy, owner: Owner) -> Self {
        Self { hierarchy, owner, opened: RefCell::default() }
    }

    fn open(&self, directory: &str) -> Result<Rc<Directory>> {
        if let Some(known) = self.opened.borrow().get(directory) {
            return Ok(Rc::clone(known));
        }
        let below = if directory.is_empty() { "." } else { directory };
        let opened = Rc::new(self.hierarchy.root().open_below(below)?);
        self.opened.borrow_mut().insert(directory.to_owned(), Rc::clone(&opened));
        Ok(opened)
    }

    /// systemd writes what it knows of again whenever it reloads.
    fn tell_systemd(&self, directory: &str, file: &str, value: &str) -> Result<()> {
        let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
        if self.owner == Owner::Nobody || !(name.ends_with(".scope") || name.ends_with(".slice")) {
            return Ok(());
        }
        let unified = vec![UnifiedFile { name: file.to_owned(), value: value.to_owned() }];
        tell_unit(name, &Limits { unified, ..Limits::default() })
    }
}

impl Files for Live<'_> {
    fn path(&self, directory: &str) -> PathBuf {
        self.hierarchy.mount_point().join(directory)
    }

    fn names(&self, directory: &str) -> Result<Vec<String>> {
        self.open(directory)?.files()
    }

    fn children(&self, directory: &str) -> Result<Vec<String>> {
        let children = self.open(directory)?.children()?;
        Ok(children.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn read(&self, directory: &str, file: &str) -> Result<String> {
        let mut content = self.open(directory)?.read(file)?;
        content.truncate(content.trim_end().len());
        Ok(content)
    }

    fn write(&self, directory: &str, file: &str, value: &str) -> Result<()> {
        self.tell_systemd(directory, file, value)?;
        self.open(directory)?.write(file, value)
    }

    fn replace_below(&self, directory: &str, file: &str, from: &str, to: &str) -> Result<()> {
        let top = self.open(directory)?;
        if top.children()?.is_empty() {
            return Ok(());
        }
        walk(&top, &mut Replacer { top: top.path(), file, from, to })
    }

    fn note(&self, directory: &str) -> Result<Option<String>> {
        let directory = self.open(directory)?;
        read_attribute(directory.as_fd(), directory.path(), NOTE)
    }

    fn set_note(&self, directory: &str, text: Option<&str>) -> Result<()> {
        let directory = self.open(directory)?;
        match text {
            Some(text) => write_attribute(directory.as_fd(), directory.path(), NOTE, text),
            None => remove_attribute(directory.as_fd(), directory.path(), NOTE),
        }
    }

    fn node(&self, path: &str) -> rustix::io::Result<String> {
        read_file(Path::new(path))
    }

    fn disks(&self) -> Vec<Disk> {
        let Ok(block) = Directory::open(Path::new("/sys/block")) else { return Vec::new() };
        let costs = self.read("", "io.cost.qos").unwrap_or_default();
        let names = link_names(&block);
        names.iter().filter_map(|name| disk(&block.path().join(name), &costs)).collect()
    }
}

/// The links in `/sys/block`, without those of devices that are no disks.
fn link_names(block: &Directory) -> Vec<String> {
    let Ok(entries) = rustix::fs::Dir::read_from(block) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| !name.starts_with('.') && !NO_DISKS.iter().any(|no| name.starts_with(no))).collect()
}

/// `None` for a drive without a medium, and for one that vanished.
fn disk(directory: &Path, costs: &str) -> Option<Disk> {
    let content = |file: &str| read_file(&directory.join(file)).ok();
    if content("size")?.trim() == "0" {
        return None;
    }
    let number: DeviceNumber = {
        let text = content("dev")?;
        let (major, minor) = text.trim().split_once(':')?;
        DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? }
    };
    let schedulers = content("queue/scheduler").unwrap_or_default();
    Some(Disk {
        number,
        scheduler: scheduler_in_use(&schedulers).to_owned(),
        cost_model: has_cost_model(costs, number),
    })
}

/// `bfq` of `none mq-deadline [bfq]`.
fn scheduler_in_use(schedulers: &str) -> &str {
    let in_use = schedulers.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    in_use.map_or("none", |(name, _)| name)
}

/// Whether `io.cost.qos` has the disk's line with `enable=1`.
fn has_cost_model(costs: &str, disk: DeviceNumber) -> bool {
    let prefix = format!("{disk} ");
    let line = costs.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
    line.split(' ').any(|word| word == "enable=1")
}

fn read_file(path: &Path) -> rustix::io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let mut content = Vec::new();
    read_whole(&file, &mut content)?;
    String::from_utf8(content).map_err(|_| Errno::ILSEQ)
}

/// Has cgroups follow the one above them.
struct Replacer<'a> {
    top: &'a Path,
    file: &'a str,
    from: &'a str,
    to: &'a str,
}

impl Visitor for Replacer<'_> {
    fn enter(&mut self, directory: &Directory) -> Result<()> {
        if directory.path() == self.top {
            return Ok(());
        }
        match directory.read(self.file) {
            Ok(content) if content.trim_end() == self.from => directory.write(self.file, self.to),
            Ok(_) => Ok(()),
            // The container may have a controller for itself that it does not pass on.
            Err(Error::Call { source: Errno::NOENT, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn leave(&mut self, _parent: &Directory, _name: &CStr) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::tests::stand_in;
    use crate::priority::apply::{Target, apply};
    use crate::priority::level::Level;
    use crate::priority::request::Request;

    #[test]
    fn the_scheduler_in_use_stands_in_brackets() {
        assert_eq!(scheduler_in_use("none mq-deadline [bfq]\n"), "bfq");
        assert_eq!(scheduler_in_use("[none] mq-deadline\n"), "none");
        assert_eq!(scheduler_in_use("none\n"), "none");
        assert_eq!(scheduler_in_use(""), "none");
    }

    #[test]
    fn a_cost_model_counts_where_it_is_enabled() {
        let costs = "8:0 enable=1 ctrl=auto rpct=95.00\n8:16 enable=0 ctrl=auto\n";
        let disk = |minor| DeviceNumber { major: 8, minor };
        assert!(has_cost_model(costs, disk(0)));
        assert!(!has_cost_model(costs, disk(16)));
        assert!(!has_cost_model(costs, disk(1)));
    }

    /// Cgroups of ordinary files, with what a kernel with BT has.
    fn stand_in_cgroups(root: &Path) -> Hierarchy {
        let hierarchy = stand_in(root, "cpu memory io");
        for directory in ["kubepods", "kubepods/pod1", "kubepods/pod1/box", "kubepods/pod1/box/inner"] {
            std::fs::create_dir(root.join(directory)).unwrap();
            for (file, content) in [("cpu.offline", "0\n"), ("cpu.weight", "100\n"), ("cpu.idle", "0\n")] {
                std::fs::write(root.join(directory).join(file), content).unwrap();
            }
        }
        hierarchy
    }

    #[test]
    fn what_a_container_made_for_itself_follows_it_and_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = stand_in_cgroups(root.path());
        let inner =
            || std::fs::read_to_string(root.path().join("kubepods/pod1/box/inner/cpu.offline")).unwrap();
        let target = Target { container: "kubepods/pod1/box", pod: Some("kubepods/pod1") };
        let request = Request { level: Some(Level::OFFLINE), ..Request::default() };
        let live = || Live::new(&hierarchy, Owner::Nobody);
        apply(&live(), target, Some(Level::OFFLINE), &request, None).unwrap();
        assert_eq!(inner(), "1");
        assert!(live().note(target.container).unwrap().is_some());
        apply(&live(), target, None, &Request::default(), None).unwrap();
        assert_eq!(inner(), "0");
        for directory in [target.container, "kubepods/pod1"] {
            assert_eq!(live().note(directory).unwrap(), None, "{directory}");
            assert_eq!(live().read(directory, "cpu.offline").unwrap(), "0", "{directory}");
        }
    }

    #[test]
    fn a_cgroup_that_goes_meanwhile_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = stand_in_cgroups(root.path());
        let live = Live::new(&hierarchy, Owner::Nobody);
        live.names("kubepods/pod1").unwrap();
        std::fs::remove_dir_all(root.path().join("kubepods/pod1")).unwrap();
        for outcome in [
            live.read("kubepods/pod1", "cpu.weight").map(drop),
            live.write("kubepods/pod1", "cpu.weight", "1"),
            live.read("kubepods/pod1/box", "cpu.weight").map(drop),
        ] {
            assert!(outcome.unwrap_err().is_not_found());
        }
    }
}
