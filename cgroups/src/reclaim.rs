//! Reclaiming a cgroup's memory from user space (`memory.reclaim`, Linux 5.19) to keep it below marks that mainline has no file for:
//! a bound of page cache, and a share of its limit. One step at a time; when to take the next is the caller's.
//!
//! A step reads two files and writes at most one. Writing blocks while the kernel reclaims, so a step asks for little.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, retry_on_intr};

use crate::cgroup::Cgroup;
use crate::directory::read_whole;
use crate::error::{Error, Result};

const CURRENT: &str = "memory.current";
const LIMIT: &str = "memory.max";
const STAT: &str = "memory.stat";
const RECLAIM: &str = "memory.reclaim";

/// What one step asks for at most, in bytes: some milliseconds of the kernel's work.
const STEP_BYTES: u64 = 32 << 20;

/// How far below its mark a cgroup is brought, in hundredths of the mark, so that not every page starts it again.
const DISTANCE: u64 = 5;

/// What a cgroup is kept below. What is not set is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Page cache, in bytes.
    pub page_cache: Option<u64>,
    /// Page cache, in hundredths of `memory.max`.
    pub page_cache_share: Option<u8>,
    /// Everything, in hundredths of `memory.max`.
    pub usage_share: Option<u8>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is below its marks.
    Below,
    /// Something was reclaimed, and there may be more to do.
    Reclaimed,
    /// It is above a mark and the kernel found nothing to take: what is left is in use.
    Exhausted,
}

/// A cgroup that is kept below its marks, with its files held open.
#[derive(Debug)]
pub struct Reclaim {
    marks: Marks,
    current: OwnedFd,
    limit: OwnedFd,
    stat: OwnedFd,
    reclaim: OwnedFd,
    path: std::path::PathBuf,
    content: Vec<u8>,
}

impl Cgroup {
    /// Opens what it takes to keep the cgroup below `marks`.
    ///
    /// # Errors
    /// [`Error::ControllerMissing`] without the memory controller, [`Error::FileMissing`] before Linux 5.19.
    pub fn reclaim(&self, marks: Marks) -> Result<Reclaim> {
        Ok(Reclaim {
            marks,
            current: self.open_file(CURRENT)?,
            limit: self.open_file(LIMIT)?,
            stat: self.open_file(STAT)?,
            reclaim: self.open_file_for_writing(RECLAIM)?,
            path: self.directory_path().to_owned(),
            content: Vec::new(),
        })
    }
}

impl Reclaim {
    /// Looks, and reclaims a bounded amount if there is too much. Blocks while the kernel works.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn step(&mut self) -> Result<Step> {
        let usage = self.usage()?;
        match excess(&self.marks, &usage) {
            None => Ok(Step::Below),
            Some(Excess::PageCache(bytes)) => self.take(bytes, PAGE_CACHE_ONLY),
            Some(Excess::Usage(bytes)) => self.take(bytes, ""),
        }
    }

    fn usage(&mut self) -> Result<Usage> {
        let limit = self.number(&Which::Limit)?;
        let current = self.number(&Which::Current)?;
        let content = self.text(&Which::Stat)?;
        let value = |key: &str| {
            content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse::<u64>().ok())
        };
        // Files of tmpfs and shared memory are counted in, and are no cache: only swapping takes them.
        let page_cache = value("file").unwrap_or_default().saturating_sub(value("shmem").unwrap_or_default());
        Ok(Usage { current: current.unwrap_or_default(), page_cache, limit })
    }

    /// `None` for "max".
    fn number(&mut self, which: &Which) -> Result<Option<u64>> {
        Ok(self.text(which)?.trim_end().parse().ok())
    }

    fn text(&mut self, which: &Which) -> Result<String> {
        let (fd, file) = match which {
            Which::Current => (&self.current, CURRENT),
            Which::Limit => (&self.limit, LIMIT),
            Which::Stat => (&self.stat, STAT),
        };
        read_whole(fd, &mut self.content)
            .map_err(|errno| Error::call("read", &self.path.join(file), errno))?;
        Ok(String::from_utf8_lossy(&self.content).into_owned())
    }

    fn take(&self, bytes: u64, how: &str) -> Result<Step> {
        match self.write(&format!("{bytes}{how}")) {
            // Before Linux 6.11 the kernel chooses between page cache and swap itself.
            Err(Errno::INVAL) if !how.is_empty() => self.take(bytes, ""),
            Ok(_) => Ok(Step::Reclaimed),
            Err(Errno::AGAIN) => Ok(Step::Exhausted),
            Err(errno) => Err(Error::call("write", &self.path.join(RECLAIM), errno)),
        }
    }

    fn write(&self, value: &str) -> rustix::io::Result<usize> {
        retry_on_intr(|| rustix::io::pwrite(&self.reclaim, value.as_bytes(), 0))
    }
}

/// Nothing is swapped out.
const PAGE_CACHE_ONLY: &str = " swappiness=0";

enum Which {
    Current,
    Limit,
    Stat,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
struct Usage {
    current: u64,
    page_cache: u64,
    /// `None` when there is no limit.
    limit: Option<u64>,
}

/// What to take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    PageCache(u64),
    Usage(u64),
}

fn excess(marks: &Marks, usage: &Usage) -> Option<Excess> {
    let share = |hundredths: Option<u8>| {
        Some((u128::from(usage.limit?) * u128::from(hundredths?) / 100).try_into().unwrap_or(u64::MAX))
    };
    let smaller = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    if let Some(bytes) = above(usage.page_cache, smaller(marks.page_cache, share(marks.page_cache_share))) {
        return Some(Excess::PageCache(bytes));
    }
    above(usage.current, share(marks.usage_share)).map(Excess::Usage)
}

/// What to take of `held` when it is above the mark.
fn above(held: u64, mark: Option<u64>) -> Option<u64> {
    let mark = mark?;
    (held > mark).then(|| (held - (mark - mark / 100 * DISTANCE)).min(STEP_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    fn usage(current: u64, page_cache: u64, limit: Option<u64>) -> Usage {
        Usage { current: current * MI, page_cache: page_cache * MI, limit: limit.map(|limit| limit * MI) }
    }

    #[test]
    fn nothing_is_taken_below_the_marks_or_without_any() {
        let marks = Marks { page_cache: Some(100 * MI), page_cache_share: None, usage_share: Some(90) };
        assert_eq!(excess(&marks, &usage(180, 100, Some(200))), None);
        assert_eq!(excess(&Marks::default(), &usage(200, 200, Some(200))), None);
    }

    #[test]
    fn what_is_above_is_taken_with_some_distance_in_bounded_steps() {
        let marks = Marks { page_cache: Some(100 * MI), ..Marks::default() };
        let Some(Excess::PageCache(little)) = excess(&marks, &usage(180, 101, None)) else { panic!() };
        assert!((5 * MI..=6 * MI).contains(&little), "{little}");
        assert_eq!(excess(&marks, &usage(900, 800, None)), Some(Excess::PageCache(STEP_BYTES)));
    }

    #[test]
    fn shares_need_a_limit_and_the_smaller_bound_of_page_cache_counts() {
        let marks = Marks { page_cache: Some(100 * MI), page_cache_share: Some(25), usage_share: Some(50) };
        assert!(matches!(excess(&marks, &usage(60, 60, Some(200))), Some(Excess::PageCache(_))));
        assert_eq!(excess(&marks, &usage(60, 60, None)), None);
        let usage_only = Marks { usage_share: Some(50), ..Marks::default() };
        assert!(matches!(excess(&usage_only, &usage(101, 0, Some(200))), Some(Excess::Usage(_))));
        assert_eq!(excess(&usage_only, &usage(101, 0, None)), None);
        assert!(matches!(
            excess(&usage_only, &usage(u64::MAX >> 20, 0, Some(1))),
            Some(Excess::Usage(STEP_BYTES))
        ));
    }
}
