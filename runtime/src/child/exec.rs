//! The recipe of one more process in a running container.

use super::{Context, Control, Never, identity, program, terminal};
use crate::error::{StepContext, StepError};
use crate::plan::wire::{ExecPlan, StdioPlan};
use crate::sys;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

pub(super) fn run(plan: &ExecPlan, context: &Context<'_>, control: &Control) -> StepError {
    match recipe(plan, context, control) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn recipe(plan: &ExecPlan, context: &Context<'_>, control: &Control) -> Result<Never, StepError> {
    identity::new_session(&plan.process)?;
    if let Some(adjustment) = plan.oom_score_adjustment {
        // While still in the host's user namespace: lowering takes CAP_SYS_RESOURCE there.
        identity::adjust_oom_score(context, adjustment)?;
    }
    // All at once, so that no moment exists with half of them. The mount namespace brings the container's root along.
    move_into_thread_name_spaces(
        context.descriptor(plan.target)?,
        ThreadNameSpaceType::from_bits_retain(plan.namespaces),
    )
    .step(|| "join the container's namespaces".into())?;
    if plan.namespaces & UnshareFlags::NEWUSER.bits() != 0 {
        identity::become_namespace_root()?;
    }

    let terminal = match &plan.process.stdio {
        StdioPlan::Terminal { size } => {
            let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .step(|| "open the container's root".into())?;
            Some(terminal::open(root.as_fd(), *size, &plan.process, control)?)
        }
        StdioPlan::Streams(_) => None,
    };
    identity::enter_working_directory(&plan.process)?;
    identity::assume(&plan.process, context)?;
    terminal::connect(&plan.process.stdio, terminal, context)?;
    let program = program::find(&plan.process)?;
    sys::close_on_exec_from(3).step(|| "close_range".into())?;
    // No stop here: Start is one call, and what it reports is the outcome of the execve.
    identity::confine(&plan.process, control)?;
    Err(program.execute())
}
