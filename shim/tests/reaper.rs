//! The reaper as the only one who waits in its process: a program of its own, with one test, because it takes
//! every child's status.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests knows only functions marked as such")]
#![allow(clippy::zombie_processes, reason = "the reaper is what waits")]

use std::{
    io::{BufRead, BufReader},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
};

use ballast_shim::{readiness, reaper::Reaper};
use rustix::process::{Pid, PidfdFlags, pidfd_open, set_child_subreaper, test_kill_process};
use tokio::io::Interest;

fn shell(script: &str) -> Child {
    Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn pidfd(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).unwrap()
}

#[tokio::test]
async fn orphans_are_reaped_and_no_status_of_a_known_process_is_lost() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let reaper = Reaper::start().unwrap();

    // Both ways to a status race for each of these: its pidfd and SIGCHLD.
    let mut exits = Vec::new();
    for status in 0..50 {
        let spawning = reaper.spawning();
        let child = shell(&format!("exit {status}"));
        let pidfd = pidfd(pid(&child));
        if status % 2 == 0 {
            // Let the orphans' loop see the exit first.
            readiness::watch(pidfd.try_clone().unwrap(), Interest::READABLE)
                .unwrap()
                .readable()
                .await
                .unwrap()
                .retain_ready();
            tokio::task::yield_now().await;
        }
        exits.push((status, reaper.register(child.id(), pidfd.as_fd()).unwrap()));
        drop(spawning);
    }
    for (status, mut exit) in exits {
        assert_eq!(exit.wait().await.status, status);
    }

    let mut parent = shell("exec 3<&0; (read wait <&3) & echo $!");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let orphan = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let exited = readiness::watch(pidfd(orphan), Interest::READABLE).unwrap();
    drop(parent.stdin.take());
    exited.readable().await.unwrap().retain_ready();
    while test_kill_process(orphan).is_ok() {
        tokio::task::yield_now().await;
    }
}
