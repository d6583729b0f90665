use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::*;

/// A child that ends when told: reads its standard input to the end, then runs `last`.
fn child(last: &str) -> (Child, OwnedFd) {
    let child = Command::new("/bin/sh")
        .args(["-c", &format!("read line; {last}")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    (child, pidfd_open(pid, PidfdFlags::empty()).unwrap())
}

#[tokio::test]
async fn an_exit_code_reaches_every_waiter_with_its_time() {
    let reaper = Reaper::default();
    let (mut child, pidfd) = child("exit 7");
    let mut exit = reaper.register(child.id(), pidfd.as_fd()).unwrap();
    let mut other = exit.clone();
    assert_eq!(exit.exit(), None);
    let before = SystemTime::now();
    drop(child.stdin.take());
    let told = exit.wait().await;
    assert_eq!(told.status, 7);
    assert!(told.at >= before);
    assert_eq!(other.wait().await, told);
    assert_eq!(exit.exit(), Some(told));
}

#[tokio::test]
async fn a_signal_is_told_as_128_and_its_number() {
    let reaper = Reaper::default();
    let (mut child, pidfd) = child("kill -KILL $$");
    let mut exit = reaper.register(child.id(), pidfd.as_fd()).unwrap();
    drop(child.stdin.take());
    assert_eq!(exit.wait().await.status, 137);
}

#[tokio::test]
async fn a_child_that_was_reaped_before_it_was_registered_keeps_its_status() {
    let reaper = Reaper::default();
    let spawning = reaper.spawning();
    let (mut child, pidfd) = child("exit 9");
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    drop(child.stdin.take());
    // As the orphans' loop does, for this child alone: other tests have children too.
    let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    reaper.tell(
        child.id(),
        Exit { status: status.exit_status().unwrap().unsigned_abs(), at: SystemTime::now() },
    );
    let mut exit = reaper.register(child.id(), pidfd.as_fd()).unwrap();
    drop(spawning);
    assert_eq!(exit.wait().await.status, 9);
}

#[tokio::test]
async fn an_orphan_that_had_the_number_before_is_not_mistaken_for_the_new_process() {
    let reaper = Reaper::default();
    let spawning = reaper.spawning();
    let (mut child, pidfd) = child("exit 4");
    reaper.tell(child.id(), Exit { status: 99, at: SystemTime::now() });
    let mut exit = reaper.register(child.id(), pidfd.as_fd()).unwrap();
    drop(spawning);
    drop(child.stdin.take());
    assert_eq!(exit.wait().await.status, 4);
}

#[tokio::test]
async fn nothing_is_remembered_once_no_spawn_is_under_way() {
    let reaper = Reaper::default();
    let exit = Exit { status: 1, at: SystemTime::now() };
    reaper.tell(1_000_000, exit);
    assert!(reaper.lock().early.is_empty());
    let spawning = reaper.spawning();
    reaper.tell(1_000_000, exit);
    assert_eq!(reaper.lock().early.len(), 1);
    drop(spawning);
    assert!(reaper.lock().early.is_empty());
}
