//! Taking a running container's view away, so that it sees the host's files again, and putting it back.
//!
//! The container is hostile and its mounts are its own: a process that ends with the change does it, in the container's mount
//! namespace, and is not waited for longer than it deserves.

use super::Container;
use super::create::duplicate;
use super::proc_view::ViewOutcome;
use crate::error::{CallContext, Error};
use crate::plan::wire::{Plan, ViewChange, ViewChangePlan};
use crate::proc_view::Placement;
use crate::process::send_signal;
use crate::spawn::{ChannelError, ChildMessage, Descriptors, Spawned};
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// It takes a millisecond, unless a file system of the container's does not answer.
const TIME_BOUND: Duration = Duration::from_secs(3);

/// What a process that was killed gets to end.
const KILL_BOUND: Duration = Duration::from_millis(500);

impl Container {
    /// Puts the host's files back where the container has a view of its own, and returns their paths: not those that the container
    /// covered or uncovered itself. Files that are open keep their content, and what a process has mounted for
    /// itself in a mount namespace of its own stays.
    ///
    /// # Errors
    /// [`Error::NoView`]; the step that failed. What was put back stays so.
    pub fn withdraw_view(&self) -> Result<Vec<String>, Error> {
        let change = match &*self.view() {
            ViewOutcome::Made(view) => ViewChange::Uncover(view.plan_withdrawing(&self.cgroup)?),
            ViewOutcome::NotNeeded | ViewOutcome::Failed(_) => return Err(Error::NoView),
        };
        self.change_view(change, Descriptors::default(), Placement::Withdrawn)
    }

    /// Puts a view back in its place that was [withdrawn](Self::withdraw_view), and returns the paths: not those that something
    /// else covers by now.
    ///
    /// # Errors
    /// [`Error::NoView`]; the step that failed. What was put in place stays so.
    pub fn restore_view(&self) -> Result<Vec<String>, Error> {
        let mut descriptors = Descriptors::default();
        let change = match &*self.view() {
            ViewOutcome::Made(view) => ViewChange::Cover(view.plan_placing(&self.cgroup, &mut descriptors)?),
            ViewOutcome::NotNeeded | ViewOutcome::Failed(_) => return Err(Error::NoView),
        };
        self.change_view(change, descriptors, Placement::InPlace)
    }

    fn change_view(
        &self,
        change: ViewChange,
        mut descriptors: Descriptors<'_>,
        placement: Placement,
    ) -> Result<Vec<String>, Error> {
        let target = descriptors.add(duplicate(self.init.as_fd())?);
        let plan = Plan::ViewChange(Box::new(ViewChangePlan { target, change }));
        let paths = wait(&self.runtime.spawner().spawn_beside(plan, descriptors)?)?;
        if let ViewOutcome::Made(view) = &mut *self.view() {
            view.placement = placement;
        }
        Ok(paths)
    }
}

/// Waits for what the process has done, and for its end.
fn wait(spawned: &Spawned) -> Result<Vec<String>, Error> {
    if !is_readable_within(spawned.control.as_fd(), TIME_BOUND)? {
        let _ended = send_signal(spawned.pidfd.as_fd(), Signal::KILL.as_raw());
        // Where the kernel does not let it go before the container's end, whoever reaps orphans does the rest.
        if is_readable_within(spawned.pidfd.as_fd(), KILL_BOUND)? {
            let _reaped = sys::wait::reap_blocking(spawned.pidfd.as_fd());
        }
        return Err(Error::ViewStuck { bound_s: TIME_BOUND.as_secs() });
    }
    let message = spawned.control.receive();
    // On its way out, whatever it said.
    let _reaped = sys::wait::reap_blocking(spawned.pidfd.as_fd());
    match message {
        Ok((ChildMessage::ViewChanged { paths }, _)) => Ok(paths),
        Ok((ChildMessage::Failed(error), _)) => Err(error.into()),
        Ok(_) => Err(Error::Channel { peer: PEER, source: ChannelError::Closed }),
        Err(source) => Err(Error::Channel { peer: PEER, source }),
    }
}

const PEER: &str = "the process that changes the view";

fn is_readable_within(descriptor: BorrowedFd<'_>, time: Duration) -> Result<bool, Error> {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready.call("poll", || PEER.into())? > 0),
        }
    }
}
