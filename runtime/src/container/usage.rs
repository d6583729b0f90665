//! What a container used, as long as it is asked: also when systemd has removed its cgroup, which it does as soon as the
//! last process has ended. Must not know when that is.

use ballast_cgroups::{Cgroup, Kind, Result, Statistics, StatisticsReader};

/// Reads statistics, and keeps the last.
#[derive(Debug, Default)]
pub(super) struct Usage {
    reader: Option<StatisticsReader>,
    last: Option<Box<Statistics>>,
}

impl Usage {
    /// With the files open, which is as early as they can be.
    pub(super) fn opened(cgroup: &Cgroup) -> Result<Self> {
        Ok(Self { reader: Some(StatisticsReader::new(cgroup)?), last: None })
    }

    /// What the files say; once they are gone, what was [kept](Self::keep).
    pub(super) fn read(&mut self, cgroup: &Cgroup) -> Result<Statistics> {
        match (self.read_files(cgroup), &self.last) {
            (Err(error), Some(last)) if error.kind() == Kind::NotFound => Ok(Statistics::clone(last)),
            (read, _) => read,
        }
    }

    /// Keeps what the files say now.
    pub(super) fn keep(&mut self, cgroup: &Cgroup) -> Result<()> {
        self.last = Some(Box::new(self.read_files(cgroup)?));
        Ok(())
    }

    fn read_files(&mut self, cgroup: &Cgroup) -> Result<Statistics> {
        match &mut self.reader {
            Some(reader) => reader.read(),
            None => self.reader.insert(StatisticsReader::new(cgroup)?).read(),
        }
    }
}
