//! The life of a task and of an exec'ed process: which state follows which, and what is refused in each.
//!
//! Pure: nothing here does anything. Whoever wants to do something asks first, and gets either the new state or the
//! refusal. Must not know processes, events or messages.

use std::fmt;

use crate::reaper::Exit;

/// An operation that the present state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It may be allowed in another state.
    #[error("cannot {operation} a {state} {subject}")]
    State {
        /// What was asked for.
        operation: &'static str,
        /// The present state.
        state: StateName,
        /// What it is a state of.
        subject: &'static str,
    },
    /// There is nothing left to act on.
    #[error("process already finished")]
    Finished,
    /// A process that has no pid yet cannot be signalled.
    #[error("process not created")]
    NotStarted,
    /// Nothing can be started in a container whose first process has ended.
    #[error("the container's init process is not running")]
    InitGone,
}

/// A state by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StateName {
    Created,
    Starting,
    FailedToStart,
    Running,
    Pausing,
    Paused,
    Stopped,
    Deleted,
}

impl fmt::Display for StateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::FailedToStart => "failed",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        })
    }
}

/// State of a container's first process. The pid namespace, and so the container, ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitState {
    /// Parked before its execve.
    Created,
    /// Released; an exit is held back until its start is announced.
    Starting,
    /// Its execve failed; its exit is on the way.
    FailedToStart,
    Running,
    Pausing,
    Paused,
    /// Reaped, not announced yet: exec'ed processes may still end. Clients see the state of before.
    Exiting(Exit),
    Stopped(Exit),
    Deleted(Exit),
}

/// Whether a delete may go on, or has to end the task first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// The task is stopped.
    Now(Exit),
    /// Its first process is still parked.
    AfterKill,
}

/// State of a container: of its first process, and how many exec'ed processes are starting or running.
///
/// The two are one state because they depend on each other: nothing is started once init is reaped, and init's exit
/// is announced when nothing else runs.
#[derive(Debug)]
pub(super) struct ContainerState {
    init: InitState,
    live_execs: usize,
}

impl ContainerState {
    pub(super) fn created() -> Self {
        Self { init: InitState::Created, live_execs: 0 }
    }

    /// What clients are told.
    pub(super) fn name(&self) -> StateName {
        match self.init {
            InitState::Created => StateName::Created,
            InitState::Starting => StateName::Starting,
            InitState::FailedToStart => StateName::FailedToStart,
            InitState::Running | InitState::Exiting(_) => StateName::Running,
            InitState::Pausing => StateName::Pausing,
            InitState::Paused => StateName::Paused,
            InitState::Stopped(_) => StateName::Stopped,
            InitState::Deleted(_) => StateName::Deleted,
        }
    }

    /// How the task ended, once that is announced.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self.init {
            InitState::Stopped(exit) | InitState::Deleted(exit) => Some(exit),
            _ => None,
        }
    }

    pub(super) fn start(&mut self) -> Result<(), Refusal> {
        self.step("start", InitState::Created, InitState::Starting)
    }

    /// The start is announced.
    pub(super) fn started(&mut self) {
        self.leave(InitState::Starting, InitState::Running);
    }

    pub(super) fn start_failed(&mut self) {
        self.leave(InitState::Starting, InitState::FailedToStart);
    }

    pub(super) fn pause(&mut self) -> Result<(), Refusal> {
        self.step("pause", InitState::Running, InitState::Pausing)
    }

    /// Returns whether the task is paused now: it may have ended meanwhile.
    #[must_use]
    pub(super) fn paused(&mut self) -> bool {
        self.leave(InitState::Pausing, InitState::Paused)
    }

    pub(super) fn pause_failed(&mut self) {
        self.leave(InitState::Pausing, InitState::Running);
    }

    pub(super) fn may_resume(&self) -> Result<(), Refusal> {
        if self.init == InitState::Paused { Ok(()) } else { Err(self.refuse("resume")) }
    }

    pub(super) fn resumed(&mut self) {
        self.leave(InitState::Paused, InitState::Running);
    }

    pub(super) fn may_update(&self) -> Result<(), Refusal> {
        match self.init {
            InitState::Stopped(_) | InitState::Deleted(_) | InitState::Exiting(_) => {
                Err(self.refuse("update"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn may_change_view(&self) -> Result<(), Refusal> {
        match self.init {
            InitState::Stopped(_) | InitState::Deleted(_) | InitState::Exiting(_) => {
                Err(self.refuse("change the view of"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn may_signal(&self) -> Result<(), Refusal> {
        match self.init {
            InitState::Exiting(_) | InitState::Stopped(_) | InitState::Deleted(_) => Err(Refusal::Finished),
            _ => Ok(()),
        }
    }

    /// A process may be added while the task lives and is not frozen.
    pub(super) fn may_exec(&self) -> Result<(), Refusal> {
        match self.init {
            InitState::Exiting(_) => Err(Refusal::InitGone),
            InitState::Stopped(_) | InitState::Deleted(_) | InitState::Paused | InitState::Pausing => {
                Err(self.refuse("exec in"))
            }
            _ => Ok(()),
        }
    }

    /// Counts one process in; it is to be counted out by [`Self::exec_ended`].
    pub(super) fn exec_starts(&mut self) -> Result<(), Refusal> {
        match self.init {
            InitState::Stopped(_) | InitState::Deleted(_) => return Err(Refusal::InitGone),
            _ => self.may_exec()?,
        }
        self.live_execs += 1;
        Ok(())
    }

    pub(super) fn exec_ended(&mut self) {
        self.live_execs = self.live_execs.saturating_sub(1);
    }

    /// Init is reaped: nothing is started any more. `None` while its start is not announced; else whether the container
    /// is frozen.
    pub(super) fn exiting(&mut self, exit: Exit) -> Option<bool> {
        if self.init == InitState::Starting {
            return None;
        }
        let frozen = self.init == InitState::Paused;
        self.init = InitState::Exiting(exit);
        Some(frozen)
    }

    /// Whether nothing but init's own exit is left to announce.
    pub(super) fn is_alone(&self) -> bool {
        self.live_execs == 0
    }

    pub(super) fn stopped(&mut self) {
        if let InitState::Exiting(exit) = self.init {
            self.init = InitState::Stopped(exit);
        }
    }

    pub(super) fn may_delete(&self) -> Result<Deletion, Refusal> {
        match self.init {
            InitState::Created | InitState::FailedToStart => Ok(Deletion::AfterKill),
            InitState::Stopped(exit) => Ok(Deletion::Now(exit)),
            InitState::Deleted(_) => Err(Refusal::Finished),
            _ => Err(self.refuse("delete")),
        }
    }

    pub(super) fn deleted(&mut self) {
        if let InitState::Stopped(exit) = self.init {
            self.init = InitState::Deleted(exit);
        }
    }

    fn step(&mut self, operation: &'static str, from: InitState, to: InitState) -> Result<(), Refusal> {
        if self.init != from {
            return Err(self.refuse(operation));
        }
        self.init = to;
        Ok(())
    }

    fn leave(&mut self, from: InitState, to: InitState) -> bool {
        let is_there = self.init == from;
        if is_there {
            self.init = to;
        }
        is_there
    }

    fn refuse(&self, operation: &'static str) -> Refusal {
        let state = if matches!(self.init, InitState::Exiting(_)) { StateName::Stopped } else { self.name() };
        Refusal::State { operation, state, subject: "task" }
    }
}

/// State of an exec'ed process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExecState {
    /// Known, not spawned.
    Created,
    Starting,
    /// Will never run; whoever waits for it is released.
    FailedToStart,
    Running,
    Stopped(Exit),
    /// Taken away, with its exit if it ever ran.
    Deleted(Option<Exit>),
}

impl ExecState {
    /// What clients are told.
    pub(super) fn name(&self) -> StateName {
        match self {
            Self::Created => StateName::Created,
            Self::Starting => StateName::Starting,
            Self::FailedToStart => StateName::FailedToStart,
            Self::Running => StateName::Running,
            Self::Stopped(_) => StateName::Stopped,
            Self::Deleted(_) => StateName::Deleted,
        }
    }

    /// `None` while it may still run; then its exit, which a process that never ran has not.
    pub(super) fn outcome(&self) -> Option<Option<Exit>> {
        match self {
            Self::Created | Self::Starting | Self::Running => None,
            Self::FailedToStart => Some(None),
            Self::Stopped(exit) => Some(Some(*exit)),
            Self::Deleted(exit) => Some(*exit),
        }
    }

    pub(super) fn start(&mut self) -> Result<(), Refusal> {
        if *self != Self::Created {
            return Err(self.refuse("start"));
        }
        *self = Self::Starting;
        Ok(())
    }

    /// `None` while that is not decided yet.
    pub(super) fn may_signal(&self) -> Option<Result<(), Refusal>> {
        match self {
            Self::Starting => None,
            Self::Created | Self::FailedToStart => Some(Err(Refusal::NotStarted)),
            Self::Running => Some(Ok(())),
            Self::Stopped(_) | Self::Deleted(_) => Some(Err(Refusal::Finished)),
        }
    }

    pub(super) fn may_resize(&self) -> Result<(), Refusal> {
        match self {
            Self::Stopped(_) | Self::Deleted(_) => Err(self.refuse("resize the terminal of")),
            _ => Ok(()),
        }
    }

    /// Takes the process away. `None` in the result: it never ran.
    pub(super) fn delete(&mut self) -> Result<Option<Exit>, Refusal> {
        let exit = match self {
            Self::Created | Self::FailedToStart => None,
            Self::Stopped(exit) => Some(*exit),
            Self::Deleted(_) => return Err(Refusal::Finished),
            Self::Starting | Self::Running => return Err(self.refuse("delete")),
        };
        *self = Self::Deleted(exit);
        Ok(exit)
    }

    fn refuse(&self, operation: &'static str) -> Refusal {
        Refusal::State { operation, state: self.name(), subject: "process" }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
