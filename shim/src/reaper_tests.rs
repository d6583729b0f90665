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
async fn a_child_that_ended_before_it_was_registered_keeps_its_status() {
    let reaper = Reaper::default();
    let spawning = reaper.spawning();
    let (mut child, pidfd) = child("exit 9");
    drop(child.stdin.take());
    let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).unwrap();
    // As on SIGCHLD.
    reaper.reap_all();
    let mut exit = reaper.register(child.id(), pidfd.as_fd()).unwrap();
    drop(spawning);
    assert_eq!(exit.wait().await.status, 9);
}

#[tokio::test]
async fn a_child_that_its_maker_waits_for_is_left_to_it() {
    let reaper = Reaper::default();
    let spawning = reaper.spawning();
    let (mut child, pidfd) = child("exit 6");
    drop(child.stdin.take());
    let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).unwrap();
    reaper.reap_all();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    drop(spawning);
}

#[tokio::test]
async fn the_end_of_the_last_spawn_makes_up_for_what_was_put_off() {
    let reaper = Reaper::default();
    let (first, second) = (reaper.spawning(), reaper.spawning());
    drop(first);
    let spawned = reaper.spawned.notified();
    tokio::pin!(spawned);
    assert!(!spawned.as_mut().enable());
    drop(second);
    spawned.await;
}
