//! What the host's `/sys/devices/system/cpu` says about the machine itself: whoever looks, it is the same.

use rustix::io::Errno;
use std::path::Path;

const DIRECTORY: &str = "/sys/devices/system/cpu";
/// All CPUs are taken to be alike.
const CACHES: &str = "cpu0/cache";
/// More than any machine has.
const CACHES_MAX: u8 = 16;

/// Its names that are not known beforehand, listed when first asked for: they do not change while the machine runs.
#[derive(Debug, Default)]
pub(super) struct HostCpuDirectory {
    vulnerabilities: Option<Box<[String]>>,
    cache_count: Option<u8>,
}

impl HostCpuDirectory {
    /// Whether the host has a file or directory.
    pub(super) fn has(&self, name: &str) -> bool {
        Path::new(DIRECTORY).join(name).exists()
    }

    /// Appends the text of a file.
    pub(super) fn read(&self, name: &str, out: &mut Vec<u8>) -> Result<(), Errno> {
        let read = std::fs::read(Path::new(DIRECTORY).join(name));
        out.extend(read.map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))?);
        Ok(())
    }

    /// The names in `vulnerabilities`, sorted.
    pub(super) fn vulnerabilities(&mut self) -> &[String] {
        self.vulnerabilities.get_or_insert_with(|| {
            let entries = std::fs::read_dir(Path::new(DIRECTORY).join("vulnerabilities"));
            let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
            let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
            names.sort_unstable();
            names.into()
        })
    }

    pub(super) fn read_vulnerability(&mut self, position: u8, out: &mut Vec<u8>) -> Result<(), Errno> {
        let name = self.vulnerabilities().get(usize::from(position)).ok_or(Errno::NOENT)?;
        let path = format!("vulnerabilities/{name}");
        self.read(&path, out)
    }

    /// How many caches a CPU has.
    pub(super) fn cache_count(&mut self) -> u8 {
        if let Some(count) = self.cache_count {
            return count;
        }
        let has = |index: &u8| self.has(&format!("{CACHES}/index{index}"));
        let count = (0..CACHES_MAX).find(|index| !has(index)).unwrap_or(CACHES_MAX);
        *self.cache_count.insert(count)
    }

    /// 1 for the nearest.
    pub(super) fn cache_level(&self, index: u8) -> Result<u32, Errno> {
        let mut level = Vec::new();
        self.read_cache(index, "level", &mut level)?;
        let level = std::str::from_utf8(&level).ok().and_then(|level| level.trim_end().parse().ok());
        level.ok_or(Errno::IO)
    }

    pub(super) fn has_cache_file(&self, index: u8, name: &str) -> bool {
        self.has(&format!("{CACHES}/index{index}/{name}"))
    }

    pub(super) fn read_cache(&self, index: u8, name: &str, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.read(&format!("{CACHES}/index{index}/{name}"), out)
    }
}
