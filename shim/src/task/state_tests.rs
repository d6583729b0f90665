use std::time::SystemTime;

use super::*;

const EXIT: Exit = Exit { status: 3, at: SystemTime::UNIX_EPOCH };

fn running() -> ContainerState {
    let mut state = ContainerState::created();
    state.start().unwrap();
    state.started();
    state
}

fn paused() -> ContainerState {
    let mut state = running();
    state.pause().unwrap();
    assert!(state.paused());
    state
}

fn stopped() -> ContainerState {
    let mut state = running();
    assert_eq!(state.exiting(EXIT), Some(false));
    state.stopped();
    state
}

fn deleted() -> ContainerState {
    let mut state = stopped();
    state.deleted();
    state
}

#[test]
fn every_operation_is_allowed_in_its_states_only() {
    // Start, pause, resume, update, exec, signal, delete.
    let table: [(ContainerState, StateName, [bool; 7]); 5] = [
        (ContainerState::created(), StateName::Created, [true, false, false, true, true, true, true]),
        (running(), StateName::Running, [false, true, false, true, true, true, false]),
        (paused(), StateName::Paused, [false, false, true, true, false, true, false]),
        (stopped(), StateName::Stopped, [false, false, false, false, false, false, true]),
        (deleted(), StateName::Deleted, [false, false, false, false, false, false, false]),
    ];
    for (mut state, name, allowed) in table {
        assert_eq!(state.name(), name);
        let found = [
            state.may_resume().is_ok(),
            state.may_update().is_ok(),
            state.may_exec().is_ok(),
            state.may_signal().is_ok(),
            state.may_delete().is_ok(),
        ];
        assert_eq!(found, allowed[2..], "{name}");
        // These change the state, so they are asked last, and one of them only.
        assert_eq!(
            if allowed[1] { state.pause() } else { state.start() }.is_ok(),
            allowed[0] || allowed[1],
            "{name}"
        );
    }
    assert!(
        ContainerState::created().pause().is_err() && stopped().pause().is_err() && paused().pause().is_err()
    );
}

#[test]
fn a_refusal_names_the_operation_and_the_state() {
    assert_eq!(running().start().unwrap_err().to_string(), "cannot start a running task");
    assert_eq!(running().may_delete().unwrap_err().to_string(), "cannot delete a running task");
    assert_eq!(paused().may_exec().unwrap_err().to_string(), "cannot exec in a paused task");
    assert_eq!(stopped().may_signal().unwrap_err(), Refusal::Finished);
    assert_eq!(deleted().may_delete().unwrap_err(), Refusal::Finished);
}

#[test]
fn an_exit_waits_for_the_announcement_of_the_start() {
    let mut state = ContainerState::created();
    state.start().unwrap();
    assert_eq!(state.exiting(EXIT), None);
    state.started();
    assert_eq!(state.exiting(EXIT), Some(false));
    assert_eq!(state.exit(), None);
    state.stopped();
    assert_eq!((state.exit(), state.name()), (Some(EXIT), StateName::Stopped));
}

#[test]
fn a_start_that_failed_lets_the_exit_through_and_is_not_repeated() {
    let mut state = ContainerState::created();
    state.start().unwrap();
    state.start_failed();
    assert!(state.start().is_err());
    assert_eq!(state.may_delete(), Ok(Deletion::AfterKill));
    assert_eq!(state.exiting(EXIT), Some(false));
}

#[test]
fn a_created_task_can_end_without_a_start() {
    let mut state = ContainerState::created();
    assert_eq!(state.exiting(EXIT), Some(false));
    assert!(state.start().is_err());
    state.stopped();
    assert_eq!(state.may_delete(), Ok(Deletion::Now(EXIT)));
}

#[test]
fn nothing_is_started_once_init_is_reaped_and_its_exit_waits_for_what_runs() {
    let mut state = running();
    state.exec_starts().unwrap();
    state.exec_starts().unwrap();
    assert_eq!(state.exiting(EXIT), Some(false));
    assert_eq!(state.exec_starts(), Err(Refusal::InitGone));
    assert_eq!(state.name(), StateName::Running);
    state.exec_ended();
    assert!(!state.is_alone());
    state.exec_ended();
    assert!(state.is_alone());
    state.stopped();
    assert_eq!(state.exec_starts(), Err(Refusal::InitGone));
}

#[test]
fn an_end_in_the_middle_of_a_pause_wins() {
    let mut state = running();
    state.pause().unwrap();
    assert_eq!(state.name(), StateName::Pausing);
    assert_eq!(state.exiting(EXIT), Some(false));
    // Whoever pauses has to thaw again.
    assert!(!state.paused());
    assert_eq!(paused().exiting(EXIT), Some(true));
}

#[test]
fn a_pause_that_failed_leaves_the_task_running() {
    let mut state = running();
    state.pause().unwrap();
    state.pause_failed();
    assert_eq!(state.name(), StateName::Running);
    let mut state = paused();
    state.resumed();
    assert_eq!(state.name(), StateName::Running);
}

#[test]
fn an_execed_process_starts_once() {
    let mut state = ExecState::Created;
    state.start().unwrap();
    assert_eq!(state.start().unwrap_err().to_string(), "cannot start a starting process");
    assert_eq!(state.may_signal(), None);
    assert!(state.delete().is_err());
    state = ExecState::Running;
    assert_eq!(state.delete().unwrap_err().to_string(), "cannot delete a running process");
    assert_eq!((state.outcome(), state.may_signal()), (None, Some(Ok(()))));
    state = ExecState::Stopped(EXIT);
    assert_eq!(state.may_signal(), Some(Err(Refusal::Finished)));
    assert!(state.may_resize().is_err());
    assert_eq!(state.delete(), Ok(Some(EXIT)));
    assert_eq!((state, state.outcome()), (ExecState::Deleted(Some(EXIT)), Some(Some(EXIT))));
    assert_eq!(state.delete(), Err(Refusal::Finished));
}

#[test]
fn a_process_that_never_ran_releases_who_waits_and_cannot_be_signalled() {
    let mut state = ExecState::FailedToStart;
    assert_eq!(state.outcome(), Some(None));
    assert_eq!(state.may_signal(), Some(Err(Refusal::NotStarted)));
    assert!(state.start().is_err());
    assert_eq!(state.delete(), Ok(None));
    let mut created = ExecState::Created;
    assert_eq!((created.outcome(), created.may_signal()), (None, Some(Err(Refusal::NotStarted))));
    assert_eq!(created.delete(), Ok(None));
}
