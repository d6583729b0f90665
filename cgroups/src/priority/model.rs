//! A model of the kernels whose files priorities are written to, in memory: which files there are, what they take, what a new cgroup
//! inherits, what bounds what, and which switch makes a file effective. A write that the kernel would refuse is refused with
//! the kernel's errno, and counted.
//!
//! It stands for kernels that cannot be run here. Its rules are those of kernel sources and vendors' documents, as far as these are
//! public; what a test shows with it is "tested against a model, not yet on the kernel".

mod rules;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::files::{Disk, Files};
use crate::error::{Error, Result};
use crate::limits::DeviceNumber;
pub(super) use rules::{KERNELS, Kernel};

/// One cgroup: its files' contents and Ballast's note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelCgroup {
    pub(super) files: BTreeMap<String, String>,
    pub(super) note: Option<String>,
}

/// Where a model's caller dies.
pub(super) struct Crash;

/// A node.
pub(super) struct Model {
    pub(super) kernel: Kernel,
    pub(super) cgroups: RefCell<BTreeMap<String, ModelCgroup>>,
    /// Files outside of cgroups.
    pub(super) node: RefCell<BTreeMap<String, rustix::io::Result<String>>>,
    pub(super) disks: Vec<Disk>,
    /// What was refused: file, value, errno.
    pub(super) refused: RefCell<Vec<(String, String, Errno)>>,
    /// Files that refuse every write.
    pub(super) broken: RefCell<BTreeMap<String, Errno>>,
    /// How many more writes there are until the caller dies.
    pub(super) writes_left: Cell<Option<usize>>,
    pub(super) writes: Cell<usize>,
}

impl Model {
    /// A node of this kernel, with all its switches on, and the cgroups of an empty node.
    pub(super) fn new(kernel: Kernel) -> Self {
        let switches = kernel.switches().iter();
        let node = switches.map(|path| ((*path).to_owned(), Ok("1".to_owned()))).collect();
        let disk = |minor, scheduler: &str, cost_model| Disk {
            number: DeviceNumber { major: 8, minor },
            scheduler: scheduler.to_owned(),
            cost_model,
        };
        let model = Self {
            kernel,
            cgroups: RefCell::default(),
            node: RefCell::new(node),
            disks: vec![disk(0, "bfq", false), disk(16, "none", true)],
            refused: RefCell::default(),
            broken: RefCell::default(),
            writes_left: Cell::new(None),
            writes: Cell::new(0),
        };
        model.cgroups.borrow_mut().insert(String::new(), ModelCgroup::default());
        model.create("kubepods");
        model
    }

    pub(super) fn create(&self, path: &str) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut cgroups = self.cgroups.borrow_mut();
        let above = cgroups.get(parent).expect("the cgroup above").clone();
        let files = self.kernel.new_cgroup(&above.files);
        let previous = cgroups.insert(path.to_owned(), ModelCgroup { files, note: None });
        assert!(previous.is_none(), "{path} exists");
    }

    pub(super) fn remove(&self, path: &str) {
        let below = format!("{path}/");
        self.cgroups.borrow_mut().retain(|name, _| name != path && !name.starts_with(&below));
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.cgroups.borrow().contains_key(path)
    }

    pub(super) fn set_switch(&self, path: &str, content: rustix::io::Result<&str>) {
        self.node.borrow_mut().insert(path.to_owned(), content.map(str::to_owned));
    }

    pub(super) fn value(&self, directory: &str, file: &str) -> String {
        Files::read(self, directory, file).expect("a file of the model")
    }

    /// All cgroups with everything in them.
    pub(super) fn snapshot(&self) -> BTreeMap<String, ModelCgroup> {
        self.cgroups.borrow().clone()
    }

    fn count_write(&self) {
        self.writes.set(self.writes.get() + 1);
        match self.writes_left.get() {
            Some(0) => std::panic::resume_unwind(Box::new(Crash)),
            Some(left) => self.writes_left.set(Some(left - 1)),
            None => {}
        }
    }

    fn full_path(directory: &str, file: &str) -> PathBuf {
        Path::new("/sys/fs/cgroup").join(directory).join(file)
    }

    fn try_write(&self, directory: &str, file: &str, value: &str) -> std::result::Result<(), Errno> {
        if let Some(errno) = self.broken.borrow().get(file) {
            return Err(*errno);
        }
        let mut cgroups = self.cgroups.borrow_mut();
        self.kernel.write(&self.node.borrow(), &mut cgroups, directory, file, value)
    }
}

impl Files for Model {
    fn path(&self, directory: &str) -> PathBuf {
        Self::full_path(directory, "").components().collect()
    }

    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let cgroups = self.cgroups.borrow();
        let cgroup = cgroups.get(directory);
        let cgroup = cgroup
            .ok_or_else(|| Error::call("open directory", &Self::full_path(directory, ""), Errno::NOENT))?;
        Ok(cgroup.files.keys().cloned().collect())
    }

    fn children(&self, directory: &str) -> Result<Vec<String>> {
        self.names(directory)?;
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let cgroups = self.cgroups.borrow();
        let below = cgroups.keys().filter_map(|path| path.strip_prefix(&prefix));
        Ok(below.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect())
    }

    fn read(&self, directory: &str, file: &str) -> Result<String> {
        self.names(directory)?;
        let cgroups = self.cgroups.borrow();
        let files = &cgroups.get(directory).expect("checked").files;
        // An idle group has the smallest weight there is.
        if file == "cpu.weight" && files.get("cpu.idle").is_some_and(|idle| idle == "1") {
            return Ok("0".to_owned());
        }
        let content = files.get(file).cloned();
        content.ok_or_else(|| Error::call("open", &Self::full_path(directory, file), Errno::NOENT))
    }

    fn write(&self, directory: &str, file: &str, value: &str) -> Result<()> {
        self.count_write();
        let path = Self::full_path(directory, file);
        self.try_write(directory, file, value).map_err(|source| {
            self.refused.borrow_mut().push((file.to_owned(), value.to_owned(), source));
            Error::Write { path, value: value.to_owned(), source }
        })
    }

    fn replace_below(&self, directory: &str, file: &str, from: &str, to: &str) -> Result<()> {
        // In order, so that a cgroup comes before those below it.
        for child in self.children(directory)? {
            let child = format!("{directory}/{child}");
            if self.read(&child, file)? == from {
                self.write(&child, file, to)?;
            }
            self.replace_below(&child, file, from, to)?;
        }
        Ok(())
    }

    fn note(&self, directory: &str) -> Result<Option<String>> {
        self.names(directory)?;
        Ok(self.cgroups.borrow().get(directory).and_then(|cgroup| cgroup.note.clone()))
    }

    fn set_note(&self, directory: &str, text: Option<&str>) -> Result<()> {
        self.count_write();
        self.names(directory)?;
        if let Some(cgroup) = self.cgroups.borrow_mut().get_mut(directory) {
            cgroup.note = text.map(str::to_owned);
        }
        Ok(())
    }

    fn node(&self, path: &str) -> rustix::io::Result<String> {
        self.node.borrow().get(path).cloned().unwrap_or(Err(Errno::NOENT))
    }

    fn disks(&self) -> Vec<Disk> {
        self.disks.clone()
    }
}
