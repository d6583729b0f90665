//! The spawner's own loop: receive a request, clone, answer.
//!
//! Runs in a process of its own and never returns. It has no threads, logs nothing, and holds three descriptors: its
//! channel, a private procfs, and its own pid namespace.

use super::channel::{Channel, ChannelError};
use super::protocol::{Reply, Request};
use crate::child;
use crate::error::{StepContext, StepError};
use crate::plan::wire::{Descriptor, Plan};
use crate::sys::{self, CloneFlags, Forked};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::cell::RefCell;

/// What the spawner keeps open for the processes that it clones.
struct Host {
    /// A procfs that nobody else has mounted anything over, for writes to `attr`, `sys` and the id maps.
    procfs: OwnedFd,
    pid_namespace: OwnedFd,
    time_namespace: Option<OwnedFd>,
}

/// Serves until the shim's end of the channel closes.
pub(super) fn serve(channel: &Channel) -> ! {
    let status = match Host::open() {
        Ok(host) => serve_requests(channel, &host),
        Err(error) => match channel.send(&Reply::Failed(error), &[]) {
            Ok(()) | Err(_) => 1,
        },
    };
    sys::exit_now(status)
}

fn serve_requests(channel: &Channel, host: &Host) -> i32 {
    loop {
        let (request, descriptors) = match channel.receive::<Request>() {
            Ok(received) => received,
            Err(ChannelError::Closed) => return 0,
            Err(_) => return 1,
        };
        let answered = match request {
            Request::Spawn { plan, cgroup } => {
                let mut descriptors = descriptors;
                let control = RefCell::new(descriptors.pop().map(Channel::from_descriptor));
                let spawn = Spawn { host, channel, descriptors, control, cgroup };
                let answered = spawn.answer(plan);
                let control = spawn.control.into_inner().map(Channel::into_descriptor);
                sys::close_together(spawn.descriptors.into_iter().chain(control));
                answered
            }
            Request::Hold => match hold(descriptors) {
                Ok((pid, pidfd)) => channel.send(&Reply::Spawned { pid }, &[pidfd.as_fd()]),
                Err(error) => channel.send(&Reply::Failed(error), &[]),
            },
            Request::MakeUserNamespace { uid_map, gid_map } => {
                match make_user_namespace(host, &uid_map, &gid_map) {
                    Ok(namespace) => channel.send(&Reply::UserNamespace, &[namespace.as_fd()]),
                    Err(error) => channel.send(&Reply::Failed(error), &[]),
                }
            }
        };
        if answered.is_err() {
            return 1;
        }
    }
}

impl Host {
    fn open() -> Result<Self, StepError> {
        // Processes that this one clones are visible to containers before their execve. Non-dumpable, they cannot be
        // traced or looked into with less than CAP_SYS_PTRACE over the host's user namespace.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "become non-dumpable".into())?;
        sys::restore_default_dispositions().step(|| "restore signal dispositions".into())?;
        let procfs = open_procfs().step(|| "open a private procfs".into())?;
        let open =
            |path: &'static str| openat(&procfs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let pid_namespace = open("self/ns/pid").step(|| "open /proc/self/ns/pid".into())?;
        let time_namespace = open("self/ns/time").ok();
        Ok(Self { procfs, pid_namespace, time_namespace })
    }
}

fn open_procfs() -> Result<OwnedFd, Errno> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A new process: its pid in the shim's pid namespace, and its pidfd.
type Cloned = (u32, OwnedFd);

/// One spawn request.
struct Spawn<'a> {
    host: &'a Host,
    channel: &'a Channel,
    descriptors: Vec<OwnedFd>,
    /// The new process takes it; there is one of it in every copy of this memory.
    control: RefCell<Option<Channel>>,
    cgroup: Option<Descriptor>,
}

impl Spawn<'_> {
    fn answer(&self, plan: Plan) -> Result<(), ChannelError> {
        let user = match &plan {
            Plan::Init(init) => init.namespaces.user,
            Plan::Exec(_) | Plan::ViewChange(_) => None,
        };
        let (made, helper) = match user {
            None => (self.clone_process(plan), None),
            Some(user) => match self.clone_from_user_namespace(plan, user) {
                Ok((made, helper)) => (made, Some(helper)),
                Err(error) => (Err(error), None),
            },
        };
        match made {
            Ok((pid, pidfd)) => {
                let descriptors: Vec<_> =
                    [Some(&pidfd), helper.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
                self.channel.send(&Reply::Spawned { pid }, &descriptors)
            }
            Err(error) => {
                let descriptors: Vec<_> = helper.as_ref().map(AsFd::as_fd).into_iter().collect();
                self.channel.send(&Reply::Failed(error), &descriptors)
            }
        }
    }

    /// New namespaces belong to the user namespace of whoever makes them, so a helper joins it first and clones from
    /// there. Helper and process are both children of the shim, which reaps them.
    fn clone_from_user_namespace(
        &self,
        plan: Plan,
        user: Descriptor,
    ) -> Result<(Result<Cloned, StepError>, OwnedFd), StepError> {
        let (ours, theirs) =
            Channel::pair().map_err(|_| lost("make a channel for the user namespace helper"))?;
        let forked =
            sys::clone3(CloneFlags::PARENT, None).step(|| "clone3 of the user namespace helper".into())?;
        let helper = match forked {
            Forked::Parent { pidfd, .. } => pidfd,
            Forked::Child => {
                drop(ours);
                let made = self.join_user_namespace(user).and_then(|()| self.clone_from_helper(plan));
                let sent = match &made {
                    Ok((pid, pidfd)) => theirs.send(&Ok::<u32, StepError>(*pid), &[pidfd.as_fd()]),
                    Err(error) => theirs.send(&Err::<u32, _>(error), &[]),
                };
                sys::exit_now(i32::from(sent.is_err()))
            }
        };
        drop(theirs);
        let made = match ours.receive::<Result<u32, StepError>>() {
            Ok((made, descriptors)) => made.and_then(|pid| {
                let pidfd = descriptors.into_iter().next().ok_or_else(|| lost("receive the pidfd"))?;
                Ok((pid, pidfd))
            }),
            Err(_) => Err(lost("hear from the user namespace helper")),
        };
        Ok((made, helper))
    }

    fn join_user_namespace(&self, user: Descriptor) -> Result<(), StepError> {
        move_into_link_name_space(self.descriptor(user)?, Some(LinkNameSpaceType::User))
            .step(|| "join the user namespace".into())
    }

    /// Clones from this process and returns to where it was.
    fn clone_process(&self, plan: Plan) -> Result<Cloned, StepError> {
        let birthplace = self.enter_birthplace(&plan)?;
        let cloned = self.clone_here(plan);
        if birthplace.leave(self.host).is_err() {
            // Whatever is cloned next would be born in the wrong place.
            sys::exit_now(1);
        }
        cloned
    }

    /// Clones from a helper, which ends afterwards and needs no way back (nor has the right to one).
    fn clone_from_helper(&self, plan: Plan) -> Result<Cloned, StepError> {
        self.enter_birthplace(&plan)?;
        self.clone_here(plan)
    }

    fn clone_here(&self, plan: Plan) -> Result<Cloned, StepError> {
        let new = match &plan {
            Plan::Init(init) => init.namespaces.new,
            Plan::Exec(_) | Plan::ViewChange(_) => 0,
        };
        let cgroup = self.cgroup.map(|cgroup| self.descriptor(cgroup)).transpose()?;
        match sys::clone3(CloneFlags::PARENT.with(CloneFlags::namespaces(new)), cgroup) {
            Ok(Forked::Child) => self.run(plan),
            Ok(Forked::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(errno) => {
                Err(StepError::of(errno, format!("clone3 with namespaces {new:#x} into the cgroup")))
            }
        }
    }

    /// Enters the namespaces that the kernel gives to children only.
    fn enter_birthplace(&self, plan: &Plan) -> Result<Birthplace, StepError> {
        let (pid, time) = match plan {
            Plan::Init(init) => (init.namespaces.pid, init.namespaces.new_time.as_deref()),
            Plan::Exec(exec) => (exec.pid_namespace, None),
            Plan::ViewChange(_) => (None, None),
        };
        if let Some(pid) = pid {
            move_into_link_name_space(self.descriptor(pid)?, Some(LinkNameSpaceType::ProcessID))
                .step(|| "join the pid namespace".into())?;
        }
        if let Some(offsets) = time {
            make_time_namespace(self.host, offsets)?;
        }
        Ok(Birthplace { other_pid: pid.is_some(), other_time: time.is_some() })
    }

    /// The new process: runs the plan and does not come back.
    fn run(&self, plan: Plan) -> ! {
        let context = child::Context { procfs: self.host.procfs.as_fd(), descriptors: &self.descriptors };
        match self.control.take() {
            Some(control) => child::run(plan, &context, control),
            None => sys::exit_now(1),
        }
    }

    fn descriptor(&self, descriptor: Descriptor) -> Result<BorrowedFd<'_>, StepError> {
        child::descriptor(&self.descriptors, descriptor)
    }
}

/// What has to be undone after a clone.
struct Birthplace {
    other_pid: bool,
    other_time: bool,
}

impl Birthplace {
    fn leave(self, host: &Host) -> Result<(), Errno> {
        if self.other_pid {
            move_into_link_name_space(host.pid_namespace.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
        }
        if let (true, Some(time)) = (self.other_time, &host.time_namespace) {
            move_into_link_name_space(time.as_fd(), Some(LinkNameSpaceType::Time))?;
        }
        Ok(())
    }
}

fn make_time_namespace(host: &Host, offsets: &str) -> Result<(), StepError> {
    sys::unshare(UnshareFlags::NEWTIME.bits()).step(|| "make a time namespace".into())?;
    if offsets.is_empty() {
        return Ok(());
    }
    write_file(&host.procfs, "self/timens_offsets", offsets)
        .step(|| format!("write {offsets:?} to /proc/self/timens_offsets"))
}

/// A process for those who need one before there is one of the container's.
fn hold(mut descriptors: Vec<OwnedFd>) -> Result<Cloned, StepError> {
    let until_closed = descriptors.pop().map(Channel::from_descriptor);
    match sys::clone3(CloneFlags::PARENT, None).step(|| "clone3 of a placeholder".into())? {
        Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
        Forked::Child => {
            let _end = until_closed.map(|channel| channel.receive::<()>());
            sys::exit_now(0)
        }
    }
}

/// A user namespace lives as long as somebody holds it: a process that waits in it until its maps are written and its
/// namespace is open, and then ends.
fn make_user_namespace(host: &Host, uid_map: &str, gid_map: &str) -> Result<OwnedFd, StepError> {
    let (ours, theirs) = Channel::pair().map_err(|_| lost("make a channel for the user namespace"))?;
    let flags = CloneFlags::namespaces(UnshareFlags::NEWUSER.bits());
    let (pid, pidfd) = match sys::clone3(flags, None).step(|| "clone3 into a new user namespace".into())? {
        Forked::Parent { pid, pidfd } => (pid, pidfd),
        Forked::Child => {
            drop(ours);
            let _end = theirs.receive::<()>();
            sys::exit_now(0)
        }
    };
    drop(theirs);
    let mapped = map_and_open(host, pid, uid_map, gid_map);
    drop(ours);
    sys::wait::reap_blocking(pidfd.as_fd()).map_err(|_| lost("wait for the holder of the user namespace"))?;
    mapped
}

fn map_and_open(host: &Host, pid: u32, uid_map: &str, gid_map: &str) -> Result<OwnedFd, StepError> {
    for (file, map) in [("uid_map", uid_map), ("gid_map", gid_map)] {
        write_file(&host.procfs, &format!("{pid}/{file}"), map)
            .step(|| format!("write {map:?} to the {file} of the new user namespace"))?;
    }
    openat(&host.procfs, format!("{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "open the new user namespace".into())
}

fn write_file(procfs: &OwnedFd, path: &str, content: &str) -> Result<(), Errno> {
    let file = openat(procfs, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Such files take their content by one write or not at all.
    rustix::io::write(&file, content.as_bytes()).map(drop)
}

fn lost(step: &str) -> StepError {
    StepError { kind: crate::ErrorKind::Internal, step: step.to_owned(), errno: None }
}
