//! What the kernel's log says about kills for want of memory. Only for a cgroup that was removed before its counters
//! could be read: the log is bounded, and the kernel leaves such messages out when there are many.

use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};

const LOG: &str = "/dev/kmsg";
/// `PRINTK_MESSAGE_MAX` and more: a longer record would be refused, not cut.
const RECORD_BYTES_MAX: usize = 8192;

impl Cgroup {
    /// Whether the kernel's log tells of a process that was killed in this cgroup, or in one below it, for want of
    /// memory. Only for a unit of systemd's, whose name no other container has.
    ///
    /// # Errors
    /// [`Error::Call`] when the log cannot be read.
    pub fn log_tells_of_a_memory_kill(&self) -> Result<bool> {
        let Some(unit) = self.path.unit() else { return Ok(false) };
        let failed = |errno| Error::call("read", Path::new(LOG), errno);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let log =
            open(LOG, flags, Mode::empty()).map_err(|errno| Error::call("open", Path::new(LOG), errno))?;
        let mut record = vec![0; RECORD_BYTES_MAX];
        loop {
            match read(&log, &mut record) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(false),
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                    if killed_in(&text).is_some_and(|path| path.split('/').any(|name| name == unit.name)) {
                        return Ok(true);
                    }
                }
                // PIPE: the next record was overwritten; reading goes on with the oldest that is left.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
}

/// The victim's cgroup, in a record like `6,339,5140900,-;oom-kill:constraint=...,task_memcg=/a/b,task=sh,pid=7,uid=0`
/// (Documentation/ABI/testing/dev-kmsg; `dump_oom_victim` in mm/oom_kill.c).
fn killed_in(record: &str) -> Option<&str> {
    let (prefix, message) = record.split_once(';')?;
    // The level is in the lower three bits, and what is above them is 0 for the kernel's own records.
    let (level, _) = prefix.split_once(',')?;
    if level.parse::<u32>().ok()? >> 3 != 0 {
        return None;
    }
    let facts = message.strip_prefix("oom-kill:")?;
    // The victim chooses its name, which comes after its cgroup.
    let (_, path) = facts.split_once(",task_memcg=")?;
    path.split_once(",task=").map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_victim_is_read_and_other_records_are_not() {
        let record = "6,339,514,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
                      oom_memcg=/a.slice/c.scope,task_memcg=/a.slice/c.scope/x,task=probe,pid=7,uid=0\n";
        assert_eq!(killed_in(record), Some("/a.slice/c.scope/x"));
        let forged = "6,1,1,-;oom-kill:constraint=C,task_memcg=/a,task=x,task_memcg=/b,task=y,pid=7";
        assert_eq!(killed_in(forged), Some("/a"));
        assert_eq!(killed_in("14,1,1,-;oom-kill:constraint=C,task_memcg=/a,task=x"), None, "a user's record");
        assert_eq!(killed_in("6,1,1,-;another: oom-kill:constraint=C,task_memcg=/a,task=x"), None);
        assert_eq!(killed_in("6,1,1,-;Memory cgroup out of memory: Killed process 7 (probe)"), None);
        assert_eq!(killed_in(""), None);
    }
}
