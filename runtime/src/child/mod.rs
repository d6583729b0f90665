//! The new process between its clone and its `execve`, or its end: it executes a plan, one step after the other.
//!
//! It decides nothing (the plan did), logs nothing and takes no locks; what fails goes to the shim as a [`StepError`] on
//! the control channel. It is single-threaded like the spawner that it was cloned from.

mod copy_up;
mod devices;
mod exec;
mod identity;
mod init;
mod mounts;
mod proc_view;
mod program;
mod protect;
mod rootfs;
mod terminal;
mod view_change;

use crate::error::{ErrorKind, StepError};
use crate::plan::wire::{Descriptor, Plan};
use crate::spawn::{Channel, ChannelError, ChildMessage, RuntimeMessage};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the process has besides its plan.
pub(crate) struct Context<'a> {
    /// A procfs of the host's pid namespace that nothing is mounted over.
    pub(crate) procfs: BorrowedFd<'a>,
    /// The descriptors that came with the plan.
    pub(crate) descriptors: &'a [OwnedFd],
}

impl Context<'_> {
    fn descriptor(&self, descriptor: Descriptor) -> Result<BorrowedFd<'_>, StepError> {
        self::descriptor(self.descriptors, descriptor)
    }
}

/// Looks up a descriptor that a plan refers to.
pub(crate) fn descriptor(
    descriptors: &[OwnedFd],
    descriptor: Descriptor,
) -> Result<BorrowedFd<'_>, StepError> {
    descriptors.get(descriptor.0).map(AsFd::as_fd).ok_or_else(|| StepError {
        kind: ErrorKind::Internal,
        step: format!("find descriptor {} of the plan", descriptor.0),
        errno: None,
    })
}

/// Runs the plan to its `execve`, or to its end where it has none. Comes back in no case.
pub(crate) fn run(plan: Plan, context: &Context<'_>, control: Channel) -> ! {
    let control = Control(control);
    let failed = match plan {
        Plan::Init(plan) => init::run(&plan, context, &control),
        Plan::Exec(plan) => exec::run(&plan, context, &control),
        Plan::ViewChange(plan) => match view_change::run(&plan, context, &control) {
            Ok(()) => sys::exit_now(0),
            Err(error) => error,
        },
    };
    // Nobody may be left to hear it.
    let _shim_gone = control.0.send(&ChildMessage::Failed(failed), &[]);
    sys::exit_now(1)
}

/// A recipe ends in `execve` or in the step that failed.
enum Never {}

/// The line to the shim.
struct Control(Channel);

impl Control {
    /// Tells the shim how far the process is and waits until it may go on. A shim that is gone ends the process.
    fn rendezvous(&self, message: &ChildMessage, descriptors: &[BorrowedFd<'_>]) -> Result<(), StepError> {
        self.tell(message, descriptors)?;
        match self.0.receive::<RuntimeMessage>() {
            Ok((RuntimeMessage::Continue, _)) => Ok(()),
            Err(ChannelError::Closed) => sys::exit_now(1),
            Err(_) => Err(unheard("hear from the shim")),
        }
    }

    fn tell(&self, message: &ChildMessage, descriptors: &[BorrowedFd<'_>]) -> Result<(), StepError> {
        self.0.send(message, descriptors).map_err(|_| unheard("report to the shim"))
    }
}

fn unheard(step: &str) -> StepError {
    StepError { kind: ErrorKind::Internal, step: step.to_owned(), errno: None }
}
