//! What the containers of one shim share: the spawner, the open cgroup hierarchy, a checked `/proc`, compiled seccomp
//! profiles. Each is made when first needed and once.

use crate::bundle::SeccompText;
use crate::error::{CallContext, Error};
use crate::proc_view::{NativeViews, Views};
use crate::seccomp::{self, Filter, ProfileKey};
use crate::spawn::Spawner;
use crate::sys::{self, CgroupProgram};
use crate::sysinfo;
use ballast_cgroups::Hierarchy;
use ballast_cgroups::priority::Level;
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, open, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::getpid;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Linux `include/uapi/linux/magic.h`.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// The containers of a pod nearly always share one profile, the pause container's included.
const CACHED_PROFILES: usize = 4;

/// The kernel makes such a file in one piece, so one read has it whole.
const SMALL_FILE_BYTES: usize = 256;

/// The part of a shim that makes containers.
#[derive(Debug)]
pub struct Runtime {
    spawner: Spawner,
    hierarchy: OnceLock<Hierarchy>,
    procfs: OnceLock<OwnedFd>,
    profiles: Mutex<HashMap<ProfileKey, Filter>>,
    sysinfo_filter: OnceLock<Filter>,
    operator_level: Mutex<Option<Level>>,
    native_views: OnceLock<NativeViews>,
    told_of_isolation: AtomicBool,
    views: Views,
    device_program: Mutex<Option<DeviceProgram>>,
}

/// A device program that the kernel has verified and compiled, which takes it longer than everything else about a cgroup. The
/// containers of a pod nearly always have the same rules.
#[derive(Debug)]
struct DeviceProgram {
    instructions: Vec<u64>,
    loaded: Arc<OwnedFd>,
}

impl Runtime {
    /// Forks the spawner; see [`Spawner::fork`] for when this may be called.
    ///
    /// # Errors
    /// As [`Spawner::fork`].
    pub fn start() -> Result<Self, Error> {
        Ok(Self {
            spawner: Spawner::fork()?,
            hierarchy: OnceLock::new(),
            procfs: OnceLock::new(),
            profiles: Mutex::default(),
            sysinfo_filter: OnceLock::new(),
            operator_level: Mutex::default(),
            native_views: OnceLock::new(),
            told_of_isolation: AtomicBool::new(false),
            views: Views::default(),
            device_program: Mutex::default(),
        })
    }

    /// Puts an operator's word about the priority of the whole pod before everybody's, for containers that are made from now on,
    /// or takes it back.
    pub fn set_operator_level(&self, level: Option<Level>) {
        *self.operator_level.lock().unwrap_or_else(PoisonError::into_inner) = level;
    }

    /// See [`Self::set_operator_level`].
    #[must_use]
    pub fn operator_level(&self) -> Option<Level> {
        *self.operator_level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that clones all others.
    #[must_use]
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    pub(crate) fn hierarchy(&self) -> Result<&Hierarchy, Error> {
        if let Some(hierarchy) = self.hierarchy.get() {
            return Ok(hierarchy);
        }
        let hierarchy = Hierarchy::discover()?;
        Ok(self.hierarchy.get_or_init(|| hierarchy))
    }

    /// Compiles a profile, or finds it compiled.
    pub(crate) fn seccomp_filter(&self, profile: &SeccompText) -> Result<Filter, Error> {
        let key = ProfileKey::of(profile.text());
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = profiles.get(&key) {
            return Ok(filter.clone());
        }
        let filter = seccomp::compile(&profile.parse()?)?;
        if profiles.len() >= CACHED_PROFILES {
            profiles.clear();
        }
        profiles.insert(key, filter.clone());
        Ok(filter)
    }

    /// Whether the kernel shows each container itself in `/proc`, so that the policy gives none a view; told once, for the log.
    pub fn take_isolation_by_kernel(&self) -> bool {
        self.native_views().isolates_all && !self.told_of_isolation.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn native_views(&self) -> &NativeViews {
        self.native_views.get_or_init(|| NativeViews::probe(Path::new("/")))
    }

    /// The views of `/proc` of the containers.
    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    /// Loads a device program, or finds it loaded.
    pub(crate) fn device_program(&self, instructions: &[u64]) -> Result<Arc<OwnedFd>, Errno> {
        let mut last = self.device_program.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.instructions == instructions) {
            return Ok(Arc::clone(&last.loaded));
        }
        let loaded = Arc::new(sys::load_program(CgroupProgram::Device, instructions)?);
        *last = Some(DeviceProgram { instructions: instructions.to_vec(), loaded: Arc::clone(&loaded) });
        Ok(loaded)
    }

    /// What asks about `sysinfo` calls.
    pub(crate) fn sysinfo_filter(&self) -> Result<Filter, Error> {
        if let Some(filter) = self.sysinfo_filter.get() {
            return Ok(filter.clone());
        }
        let filter = sysinfo::filter()?;
        Ok(self.sysinfo_filter.get_or_init(|| filter).clone())
    }

    /// Writes a file of a process below `/proc`, after making sure that it is the kernel's.
    pub(crate) fn write_proc(&self, pid: u32, file: &str, content: &str) -> Result<(), Error> {
        let path = format!("{pid}/{file}");
        let write = || -> Result<(), Errno> {
            let file = self.open_proc(&path, OFlags::WRONLY)?;
            rustix::io::write(&file, content.as_bytes()).map(drop)
        };
        Ok(write().call("write", || format!("/proc/{path}, {content:?}"))?)
    }

    /// Reads a small file of a process below `/proc`, after making sure that it is the kernel's.
    pub(crate) fn read_proc(&self, pid: u32, file: &str) -> Result<String, Error> {
        let path = format!("{pid}/{file}");
        let read = || -> Result<String, Errno> {
            let mut content = Vec::with_capacity(SMALL_FILE_BYTES);
            rustix::io::read(self.open_proc(&path, OFlags::RDONLY)?, spare_capacity(&mut content))?;
            String::from_utf8(content).map_err(|_| Errno::ILSEQ)
        };
        Ok(read().call("read", || format!("/proc/{path}"))?)
    }

    fn open_proc(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(self.procfs()?, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// The host's `/proc`, in which processes have the numbers that this one knows them by.
    pub(crate) fn procfs(&self) -> Result<BorrowedFd<'_>, Errno> {
        if let Some(procfs) = self.procfs.get() {
            return Ok(procfs.as_fd());
        }
        let procfs = open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if fstatfs(&procfs)?.f_type != PROC_SUPER_MAGIC {
            return Err(Errno::NODEV);
        }
        // One of another pid namespace has other numbers.
        if readlinkat(&procfs, "self", Vec::new())?.to_bytes() != getpid().to_string().as_bytes() {
            return Err(Errno::NODEV);
        }
        Ok(self.procfs.get_or_init(|| procfs).as_fd())
    }
}
