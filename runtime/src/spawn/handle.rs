//! The shim's side of the spawner.

use super::channel::{Channel, ChannelError};
use super::protocol::{Reply, Request};
use super::server;
use crate::error::{CallContext, Error};
use crate::plan::wire::{Descriptor, Plan};
use crate::sys::{self, CloneFlags, Forked};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PEER: &str = "the spawner";

/// A running spawner process. It ends when this is dropped.
#[derive(Debug)]
pub struct Spawner {
    /// A request and its answer belong together.
    channel: Mutex<Channel>,
    pid: u32,
    pidfd: OwnedFd,
}

/// A process that was just cloned and now runs its plan.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) control: Channel,
}

/// A process of the shim's that does nothing, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Placeholder {
    pid: u32,
    pidfd: OwnedFd,
    control: Option<Channel>,
}

impl Placeholder {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        drop(self.control.take());
        // Nobody else waits for it; an error would mean that it is gone already.
        let _reaped = sys::wait::reap_blocking(self.pidfd.as_fd());
    }
}

/// Descriptors that travel beside a plan, each added once and referred to by its position.
#[derive(Debug, Default)]
pub(crate) struct Descriptors<'lender>(Vec<Carried<'lender>>);

#[derive(Debug)]
enum Carried<'lender> {
    Given(OwnedFd),
    Lent(BorrowedFd<'lender>),
}

impl<'lender> Descriptors<'lender> {
    /// Adds one that is closed here when the message is sent.
    pub(crate) fn add(&mut self, descriptor: OwnedFd) -> Descriptor {
        self.carry(Carried::Given(descriptor))
    }

    /// Adds one that its owner keeps.
    pub(crate) fn lend(&mut self, descriptor: BorrowedFd<'lender>) -> Descriptor {
        self.carry(Carried::Lent(descriptor))
    }

    /// Puts another in the place of one that was added.
    fn replace(&mut self, Descriptor(position): Descriptor, descriptor: OwnedFd) {
        if let Some(place) = self.0.get_mut(position) {
            *place = Carried::Given(descriptor);
        }
    }

    fn carry(&mut self, descriptor: Carried<'lender>) -> Descriptor {
        self.0.push(descriptor);
        Descriptor(self.0.len() - 1)
    }
}

impl Drop for Descriptors<'_> {
    fn drop(&mut self) {
        sys::close_together(self.0.drain(..).filter_map(|carried| match carried {
            Carried::Given(descriptor) => Some(descriptor),
            Carried::Lent(_) => None,
        }));
    }
}

impl AsFd for Carried<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given(descriptor) => descriptor.as_fd(),
            Self::Lent(descriptor) => *descriptor,
        }
    }
}

impl Spawner {
    /// Forks the spawner.
    ///
    /// Call it while the process has one thread: before an async runtime, a logger thread, anything. What the process has
    /// in memory at this point is what the spawner shares with it.
    ///
    /// # Errors
    /// When the kernel has no more processes or descriptors to give.
    pub fn fork() -> Result<Self, Error> {
        let (ours, theirs) = Channel::pair().map_err(|source| Error::Channel { peer: PEER, source })?;
        match sys::clone3(CloneFlags::namespaces(0), None).call("clone3", String::new)? {
            Forked::Child => {
                let channel = Channel::from_descriptor(sys::close_all_but(theirs.into_descriptor()));
                server::serve(&channel)
            }
            Forked::Parent { pid, pidfd } => Ok(Self { channel: Mutex::new(ours), pid, pidfd }),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pidfd, readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Clones a process that runs `plan` in `cgroup`. The shim is its parent.
    pub(crate) fn spawn<'lender>(
        &self,
        plan: Plan,
        descriptors: Descriptors<'lender>,
        cgroup: BorrowedFd<'lender>,
    ) -> Result<Spawned, Error> {
        self.spawn_elsewhere_if_busy(plan, descriptors, cgroup, || Ok(None))
    }

    /// As [`Self::spawn`]; where the kernel keeps processes out of `cgroup`, because its children have controllers (EBUSY,
    /// cgroup-v2 "No Internal Process Constraint"), in the one that `elsewhere` finds.
    pub(crate) fn spawn_elsewhere_if_busy<'lender>(
        &self,
        plan: Plan,
        mut descriptors: Descriptors<'lender>,
        cgroup: BorrowedFd<'lender>,
        elsewhere: impl FnOnce() -> Result<Option<OwnedFd>, Error>,
    ) -> Result<Spawned, Error> {
        let (control, theirs) = Channel::pair().map_err(|source| Error::Channel { peer: PEER, source })?;
        let cgroup = descriptors.lend(cgroup);
        descriptors.add(theirs.into_descriptor());
        let request = Request::Spawn { plan, cgroup: Some(cgroup) };
        let outcome = match self.ask_for_process(&request, &descriptors) {
            Err(Error::Step(error)) if error.errno == Some(Errno::BUSY.raw_os_error()) => {
                match elsewhere()? {
                    Some(other) => {
                        descriptors.replace(cgroup, other);
                        self.ask_for_process(&request, &descriptors)
                    }
                    None => Err(error.into()),
                }
            }
            outcome => outcome,
        };
        outcome.map(|(pid, pidfd)| Spawned { pid, pidfd, control })
    }

    /// Clones a process that runs `plan` beside the shim, in its cgroup.
    pub(crate) fn spawn_beside(
        &self,
        plan: Plan,
        mut descriptors: Descriptors<'_>,
    ) -> Result<Spawned, Error> {
        let (control, theirs) = Channel::pair().map_err(|source| Error::Channel { peer: PEER, source })?;
        descriptors.add(theirs.into_descriptor());
        let (pid, pidfd) = self.ask_for_process(&Request::Spawn { plan, cgroup: None }, &descriptors)?;
        Ok(Spawned { pid, pidfd, control })
    }

    fn ask_for_process(
        &self,
        request: &Request,
        descriptors: &Descriptors<'_>,
    ) -> Result<(u32, OwnedFd), Error> {
        let (reply, received) = self.ask(request, descriptors)?;
        let mut received = received.into_iter();
        let pidfd = if matches!(reply, Reply::Spawned { .. }) { received.next() } else { None };
        if let Some(helper) = received.next() {
            sys::wait::reap_blocking(helper.as_fd()).map_err(|_| lost())?;
        }
        match (reply, pidfd) {
            (Reply::Spawned { pid }, Some(pidfd)) => Ok((pid, pidfd)),
            (Reply::Failed(error), _) => Err(error.into()),
            _ => Err(lost()),
        }
    }

    /// Clones a process that does nothing.
    pub(crate) fn hold(&self) -> Result<Placeholder, Error> {
        let (control, theirs) = Channel::pair().map_err(|source| Error::Channel { peer: PEER, source })?;
        let mut descriptors = Descriptors::default();
        descriptors.add(theirs.into_descriptor());
        match self.ask(&Request::Hold, &descriptors)? {
            (Reply::Spawned { pid }, received) => {
                let pidfd = received.into_iter().next().ok_or_else(lost)?;
                Ok(Placeholder { pid, pidfd, control: Some(control) })
            }
            (Reply::Failed(error), _) => Err(error.into()),
            (Reply::UserNamespace, _) => Err(lost()),
        }
    }

    /// Makes a user namespace with these maps.
    pub(crate) fn make_user_namespace(&self, uid_map: String, gid_map: String) -> Result<OwnedFd, Error> {
        let request = Request::MakeUserNamespace { uid_map, gid_map };
        let (reply, received) = self.ask(&request, &Descriptors::default())?;
        match (reply, received.into_iter().next()) {
            (Reply::UserNamespace, Some(namespace)) => Ok(namespace),
            (Reply::Failed(error), _) => Err(error.into()),
            _ => Err(lost()),
        }
    }

    fn ask(&self, request: &Request, descriptors: &Descriptors<'_>) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let channel = self.lock();
        let borrowed: Vec<_> = descriptors.0.iter().map(AsFd::as_fd).collect();
        let context = |source| Error::Channel { peer: PEER, source };
        channel.send(request, &borrowed).map_err(context)?;
        channel.receive().map_err(context)
    }

    fn lock(&self) -> MutexGuard<'_, Channel> {
        // A panic between question and answer would leave the channel out of step; panics abort this program.
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> Error {
    Error::Channel { peer: PEER, source: ChannelError::Closed }
}
