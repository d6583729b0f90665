//! What confines a process, one by one.

use super::Test;
use super::bundle::{Bundle, wait};
use ballast_runtime::Runtime;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

pub const TESTS: &[(&str, Test)] = &[
    ("rlimits_are_the_specs", rlimits),
    ("many_mounts_leave_no_descriptor_that_counts_against_the_limit", limit_after_many_mounts),
    ("home_is_found_at_the_end_of_a_long_list_of_users", home_in_long_passwd),
    ("the_oom_score_adjustment_is_the_specs", oom_score),
    ("a_seccomp_notifier_reaches_its_agent_with_the_containers_state", notifier),
    ("every_seccomp_action_has_its_effect", actions),
    ("the_umask_scheduler_io_priority_and_affinity_are_the_specs", scheduling),
    ("ambient_capabilities_reach_a_program_that_is_not_root", ambient),
    ("the_session_keyring_is_the_containers_own", keyring),
    ("a_paused_container_stands_still_until_it_is_resumed", pause),
];

fn rlimits(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("ulimit -Sn; ulimit -Hn")
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}]))
        .output(runtime);
    assert_eq!(outcome.stdout, "111\n222\n", "{outcome:?}");
    let error = Bundle::new("true")
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 2}]))
        .refusal(runtime);
    assert!(error.contains("RLIMIT_NOFILE") && error.contains("above the hard one"), "{error}");
}

/// `HOME` is read from a file after the limit is set.
fn limit_after_many_mounts(runtime: &Arc<Runtime>) {
    for count in [10, 25, 40, 150] {
        let mut bundle = Bundle::new("ls -d /mounts/* | wc -l; echo $HOME")
            .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 40, "hard": 40}]))
            .set("/linux/maskedPaths", json!([]))
            .set("/linux/readonlyPaths", json!([]));
        for number in 0..count {
            let destination = format!("/mounts/{number}");
            bundle =
                bundle.add_mount(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}));
        }
        assert_eq!(bundle.output(runtime).stdout, format!("{count}\n/root\n"));
    }
}

fn home_in_long_passwd(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("echo $HOME").set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let others: String =
        (2000..2400).map(|uid| format!("u{uid}:x:{uid}:{uid}::/home/u{uid}:/bin/sh\n")).collect();
    std::fs::write(bundle.rootfs().join("etc/passwd"), others + "web:x:1000:1000::/home/web:/bin/sh\n")
        .unwrap();
    assert_eq!(bundle.output(runtime).stdout, "/home/web\n");
}

fn oom_score(runtime: &Arc<Runtime>) {
    let outcome =
        Bundle::new("cat /proc/self/oom_score_adj").set("/process/oomScoreAdj", json!(937)).output(runtime);
    assert_eq!(outcome.stdout, "937\n", "{outcome:?}");
}

fn notifier(runtime: &Arc<Runtime>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = std::thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = vec![0; 65536];
        let received =
            recvmsg(&connection, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
                .unwrap();
        let descriptors: usize = ancillary
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => rights.count(),
                _ => 0,
            })
            .sum();
        // The notifier is closed here; the kernel then answers ENOSYS for it.
        (serde_json::from_slice::<Value>(&bytes[..received.bytes]).unwrap(), descriptors)
    });
    let bundle = Bundle::new("mkdir /tmp/a").set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "for the agent",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
        }),
    );
    let outcome = bundle.output(runtime);
    let (state, descriptors) = agent.join().unwrap();
    assert_eq!(descriptors, 1);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], json!("for the agent"));
    assert_eq!(state["state"]["id"], json!(bundle.id));
    assert!(outcome.stderr.contains("Function not implemented"), "{outcome:?}");
}

fn actions(runtime: &Arc<Runtime>) {
    for (action, status, printed) in [
        ("SCMP_ACT_ERRNO", 1, "Operation not permitted"),
        ("SCMP_ACT_KILL", 159, ""),
        ("SCMP_ACT_KILL_THREAD", 159, ""),
        ("SCMP_ACT_KILL_PROCESS", 159, ""),
        ("SCMP_ACT_TRAP", 159, ""),
        ("SCMP_ACT_TRACE", 1, "Function not implemented"),
        ("SCMP_ACT_LOG", 0, ""),
        ("SCMP_ACT_ALLOW", 0, ""),
    ] {
        let outcome = Bundle::new("sh -c 'exec mkdir /tmp/a'; exit $?")
            .set("/linux/seccomp", json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": action}]
            }))
            .output(runtime);
        assert_eq!(outcome.status, status, "{action}: {outcome:?}");
        assert!(outcome.stderr.contains(printed), "{action}: {outcome:?}");
    }
}

fn scheduling(runtime: &Arc<Runtime>) {
    let outcome = Bundle::new("umask; chrt -p $$ | head -1; ionice; taskset -cp $$")
        .set("/process/user/umask", json!(0o027))
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
        .set("/process/execCPUAffinity", json!({"final": "0"}))
        .output(runtime);
    let text = outcome.stdout;
    assert!(
        text.starts_with("0027\n") && text.contains("SCHED_BATCH") && text.contains("idle"),
        "{text} {}",
        outcome.stderr
    );
    assert!(text.contains("affinity list: 0\n"), "{text}");
}

fn ambient(runtime: &Arc<Runtime>) {
    let set = json!(["CAP_NET_BIND_SERVICE"]);
    let outcome = Bundle::new("grep -E 'Cap(Eff|Amb)' /proc/self/status")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .set(
            "/process/capabilities",
            json!({
                "bounding": set, "permitted": set, "effective": set, "inheritable": set, "ambient": set
            }),
        )
        .output(runtime);
    assert_eq!(outcome.stdout, "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n", "{outcome:?}");
}

fn keyring(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("grep -c _ses. /proc/keys || true").set("/linux/maskedPaths", json!([]));
    let keys = std::fs::read_to_string("/proc/keys").is_ok();
    let outcome = bundle.output(runtime);
    assert!(!keys || outcome.stdout.trim().parse::<u32>().unwrap() >= 1, "{outcome:?}");
}

fn pause(runtime: &Arc<Runtime>) {
    let bundle = Bundle::new("while :; do echo tick; sleep 0.01; done");
    let (mut ticks, stdout) = std::io::pipe().unwrap();
    let io = ballast_runtime::ProcessIo::Streams { stdin: None, stdout: Some(stdout.into()), stderr: None };
    let (container, process) = bundle.create(runtime, io).unwrap();
    process.start().unwrap();
    let mut tick = [0; 5];
    std::io::Read::read_exact(&mut ticks, &mut tick).unwrap();
    container.pause().unwrap();
    rustix::io::ioctl_fionbio(&ticks, true).unwrap();
    // What was printed before; then nothing more comes.
    while std::io::Read::read(&mut ticks, &mut [0; 4096]).is_ok() {}
    let error = std::io::Read::read(&mut ticks, &mut tick).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    rustix::io::ioctl_fionbio(&ticks, false).unwrap();
    container.resume().unwrap();
    std::io::Read::read_exact(&mut ticks, &mut tick).unwrap();
    container.pause().unwrap();
    // A frozen container can be killed and deleted all the same.
    container.signal_all(9).unwrap();
    assert_eq!(wait(&process), 137);
    container.delete().unwrap();
    bundle.assert_nothing_left();
}
