//! `cgroup.events`: whether a cgroup has processes and whether they are all frozen, and waiting for either.
//! The kernel signals a change with POLLPRI (cgroup-v2, "Basic Operations"), so nothing here polls by time.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::directory::{Directory, read_whole};
use crate::error::{Error, Result, ignore_gone};

const FILE: &str = "cgroup.events";

/// The content of `cgroup.events`. Both flags speak of the cgroup with everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) populated: bool,
    pub(crate) frozen: bool,
}

/// `cgroup.events`, held open.
#[derive(Debug)]
pub(crate) struct Events {
    fd: OwnedFd,
    directory: PathBuf,
    content: Vec<u8>,
}

impl Cgroup {
    /// Whether the cgroup, or one below it, has a live process.
    ///
    /// # Errors
    /// [`Error::Call`], of kind [`NotFound`](crate::Kind::NotFound) when the cgroup is gone.
    pub fn is_populated(&self) -> Result<bool> {
        Ok(Events::open(&self.directory)?.read()?.populated)
    }

    /// Waits until neither the cgroup nor one below it has a process. A cgroup that is gone has none.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] when it still has one at `deadline`.
    pub fn wait_until_empty(&self, deadline: Instant) -> Result<()> {
        let waited = Events::open(&self.directory)
            .and_then(|mut events| events.wait("empty", deadline, |state| !state.populated));
        ignore_gone(waited)
    }
}

impl Events {
    pub(crate) fn open(directory: &Directory) -> Result<Self> {
        let fd = directory.open_file(FILE)?;
        Ok(Self { fd, directory: directory.path().to_owned(), content: Vec::new() })
    }

    pub(crate) fn read(&mut self) -> Result<State> {
        read_whole(&self.fd, &mut self.content)
            .map_err(|errno| Error::call("read", &self.directory.join(FILE), errno))?;
        let content = String::from_utf8_lossy(&self.content);
        parse(&content).ok_or_else(|| Error::format(&self.directory.join(FILE), "list of events", &content))
    }

    /// Returns once `reached` accepts the state; `name` is that state's name, for the error.
    pub(crate) fn wait(
        &mut self,
        name: &'static str,
        deadline: Instant,
        reached: impl Fn(State) -> bool,
    ) -> Result<()> {
        // Reading arms the notification, so a change between this read and the poll is not lost.
        while !reached(self.read()?) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::DeadlineExceeded { path: self.directory.clone(), state: name });
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::PRI)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::call("poll", &self.directory.join(FILE), errno)),
            }
        }
        Ok(())
    }
}

fn parse(content: &str) -> Option<State> {
    let flag = |key: &str| {
        content.lines().find_map(|line| match line.split_once(' ')? {
            (name, value) if name == key => Some(value != "0"),
            _ => None,
        })
    };
    // `frozen` came with Linux 5.2; before that nothing is ever frozen.
    Some(State { populated: flag("populated")?, frozen: flag("frozen").unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::stand_in_cgroup;
    use std::time::Duration;

    #[test]
    fn both_flags_are_read_and_unknown_ones_are_skipped() {
        assert_eq!(parse("populated 1\nfrozen 0\n"), Some(State { populated: true, frozen: false }));
        assert_eq!(parse("new 7\nfrozen 1\npopulated 0\n"), Some(State { populated: false, frozen: true }));
        assert_eq!(parse("populated 1\n"), Some(State { populated: true, frozen: false }));
        assert_eq!(parse("frozen 1\n"), None);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_with_the_state_in_the_error() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "", &[]);
        std::fs::write(root.path().join("box/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let error = cgroup.wait_until_empty(Instant::now() + Duration::from_millis(5)).unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded { state: "empty", .. }), "{error:?}");
    }

    #[test]
    fn a_cgroup_that_is_gone_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let cgroup = stand_in_cgroup(root.path(), "", &[]);
        cgroup.wait_until_empty(Instant::now()).unwrap();
    }
}
