//! The kernel loads these programs and does what they say. `seccompiler` makes the syscalls; a filter ends with its thread.

use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, getpriority_process, pidfd_open};
use seccompiler::{apply_filter, sock_filter};
use serde_json::json;

use super::super::{Filter, compile};
use super::default_profile::default_profile;
use super::profile;

fn load(filter: &Filter) {
    let program: Vec<sock_filter> = filter
        .program
        .iter()
        .map(|instruction| sock_filter {
            code: instruction.code,
            jt: instruction.jt,
            jf: instruction.jf,
            k: instruction.k,
        })
        .collect();
    apply_filter(&program).unwrap();
}

#[test]
fn the_kernel_returns_the_profiles_errno_for_the_profiles_arguments() {
    let filter = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["pidfd_open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 },
            {
                "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78,
                "args": [{ "index": 1, "value": 0, "op": "SCMP_CMP_GT" }],
            },
        ],
    })))
    .unwrap();
    let outcome = thread::spawn(move || {
        let open_self = || pidfd_open(getpid(), PidfdFlags::empty()).map(drop);
        assert_eq!(open_self(), Ok(()));
        load(&filter);
        (
            open_self(),
            getpriority_process(None).is_ok(),
            getpriority_process(Some(Pid::INIT)),
            rustix::system::uname().sysname() == c"Linux",
        )
    });
    let expected = (Err(Errno::from_raw_os_error(77)), true, Err(Errno::from_raw_os_error(78)), true);
    assert_eq!(outcome.join().unwrap(), expected);
}

#[test]
fn a_thread_works_under_the_default_profile() {
    let filter = compile(&default_profile()).unwrap();
    let outcome = thread::spawn(move || {
        load(&filter);
        let file = std::fs::read("/proc/self/stat").is_ok();
        // Neither path exists: without the filter this is ENOENT, or EPERM for who may not.
        let pivot = rustix::process::pivot_root("/nonexistent/new", "/nonexistent/old");
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::from_raw(40),
            rustix::net::SocketType::STREAM,
            None,
        );
        (file, pivot, socket.map(drop), thread::spawn(|| 5).join().is_ok_and(|five| five == 5))
    });
    assert_eq!(outcome.join().unwrap(), (true, Err(Errno::PERM), Err(Errno::PERM), true));
}
