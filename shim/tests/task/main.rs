//! Tasks of the built shim, asked as containerd asks: real containers on this kernel, with a recorder for events.
//!
//! Needs root, a cgroup2 mount (controllers are not needed) and `/usr` of the host, which serves as the image.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests knows only functions marked as such"
)]

mod control;
mod pod;
mod priority;

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
};

use containerd_shim_protos::{
    api::{
        CreateTaskRequest, ExecProcessRequest, PauseRequest, ResizePtyRequest, ResumeRequest, StateRequest,
        StatsRequest, Status,
    },
    cgroups_v2::metrics::Metrics,
    protobuf::Message,
};
use pod::{Pod, no_deadline, status_of};
use rustix::event::{PollFd, PollFlags, poll};
use ttrpc::Code;

#[test]
fn a_task_lives_and_its_events_are_in_order() {
    let pod = Pod::start();
    let (stdout, reader) = pod.fifo_with_reader("init");
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    pod.create_with(
        "c",
        script,
        |config| config,
        |request| CreateTaskRequest { stdout: stdout.display().to_string(), ..request },
    )
    .unwrap();
    let state = pod.state("c", "");
    assert_eq!(state.status.enum_value(), Ok(Status::CREATED));
    assert!(state.pid > 0 && state.exited_at.is_none());
    assert_eq!(pod.pids("c"), [state.pid]);
    pod.start_process("c", "");
    assert_eq!(pod.state("c", "").status.enum_value(), Ok(Status::RUNNING));
    assert_eq!(
        status_of(pod.task.start(no_deadline(), &pod.start_request("c", ""))),
        Code::FAILED_PRECONDITION
    );
    assert_eq!(
        status_of(pod.task.delete(no_deadline(), &pod.delete_request("c", ""))),
        Code::FAILED_PRECONDITION
    );

    pod.exec("c", "e", "exit 7");
    pod.start_process("c", "e");
    let exit = pod.wait("c", "e");
    assert_eq!((exit.exit_status, exit.exited_at.is_some()), (7, true));
    assert_eq!(pod.delete("c", "e").exit_status, 7);

    // Once it has said so, the trap is set.
    reader.join().unwrap().read_exact(&mut [0; 5]).unwrap();
    pod.kill("c", "", 15).unwrap();
    assert_eq!(pod.wait("c", "").exit_status, 5);
    let state = pod.state("c", "");
    assert_eq!((state.status.enum_value(), state.exit_status), (Ok(Status::STOPPED), 5));
    assert!(state.exited_at.is_some() && state.pid > 0);
    let error = pod.kill("c", "", 9).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    assert!(error.message().contains("process already finished"), "{}", error.message());
    let stats =
        pod.task.stats(no_deadline(), &StatsRequest { id: "c".into(), ..StatsRequest::default() }).unwrap();
    assert_eq!(stats.stats.type_url, "io.containerd.cgroups.v2.Metrics");
    assert!(Metrics::parse_from_bytes(&stats.stats.value).unwrap().cpu.usage_usec > 0);
    assert_eq!(pod.delete("c", "").exit_status, 5);
    let request = StateRequest { id: "c".into(), ..StateRequest::default() };
    assert_eq!(status_of(pod.task.state(no_deadline(), &request)), Code::NOT_FOUND);
    let events = pod.events_until("delete c");
    assert_eq!(
        events,
        ["create c", "start c", "exec-added c/e", "exec-started c/e", "exit c/e 7", "exit c/c 5", "delete c"]
    );
}

#[test]
fn a_hundred_exits_at_once_are_all_told_and_init_is_last() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    pod.start_process("c", "");
    let gate = pod.fifo("gate");
    for index in 0..100 {
        let script = format!("read line; exit {index}");
        pod.exec_arguments("c", &format!("e{index}"), &["sh", "-c", &script], |request| ExecProcessRequest {
            stdin: gate.display().to_string(),
            ..request
        });
    }
    // One writer for all: its end is the end of everyone's input.
    let writer = fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    std::thread::scope(|scope| {
        for index in 0..100 {
            let (pod, exec_id) = (&pod, format!("e{index}"));
            scope.spawn(move || {
                pod.start_process("c", &exec_id);
                pod.close_stdin("c", &exec_id);
            });
        }
    });
    drop(writer);
    let waits: Vec<u32> = (0..100).map(|index| pod.wait("c", &format!("e{index}")).exit_status).collect();
    assert_eq!(waits, (0..100).collect::<Vec<u32>>());
    pod.kill("c", "", 9).unwrap();
    assert_eq!(pod.wait("c", "").exit_status, 137);
    let events = pod.events_until("exit c/c 137");
    for index in 0..100 {
        let position = |event: String| {
            events.iter().position(|seen| *seen == event).unwrap_or_else(|| panic!("{event}"))
        };
        assert!(position(format!("exec-started c/e{index}")) < position(format!("exit c/e{index} {index}")));
    }
    assert_eq!(events.last().unwrap(), "exit c/c 137");
}

#[test]
fn an_exec_that_cannot_start_says_why_and_releases_who_waits() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    pod.start_process("c", "");
    pod.exec_arguments("c", "e", &["/no/such/program"], |request| request);
    assert_eq!(
        status_of(pod.task.exec(no_deadline(), &pod.exec_request("c", "e", &["true"]))),
        Code::ALREADY_EXISTS
    );
    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| pod.wait("c", "e"));
        let error = pod.task.start(no_deadline(), &pod.start_request("c", "e")).unwrap_err().to_string();
        assert!(error.contains("/no/such/program"), "{error}");
        waiter.join().unwrap()
    });
    assert_eq!((waiter.exit_status, waiter.exited_at.is_none()), (0, true));
    assert_eq!(pod.kill("c", "e", 9).unwrap_err().code(), Code::FAILED_PRECONDITION);
    assert_eq!(pod.delete("c", "e").pid, 0);
    assert_eq!(status_of(pod.task.wait(no_deadline(), &pod.wait_request("c", "e"))), Code::NOT_FOUND);
}

#[test]
fn input_reaches_the_process_until_it_is_closed_and_output_ends_with_it() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    pod.start_process("c", "");
    let stdin = pod.fifo("stdin");
    let (stdout, reader) = pod.fifo_with_reader("stdout");
    pod.exec_arguments("c", "e", &["cat"], |request| ExecProcessRequest {
        stdin: stdin.display().to_string(),
        stdout: stdout.display().to_string(),
        ..request
    });
    pod.start_process("c", "e");
    let mut writer = fs::OpenOptions::new().write(true).open(&stdin).unwrap();
    writer.write_all(b"through the container").unwrap();
    drop(writer);
    pod.close_stdin("c", "e");
    assert_eq!(pod.wait("c", "e").exit_status, 0);
    assert_eq!(std::io::read_to_string(reader.join().unwrap()).unwrap(), "through the container");
    pod.delete("c", "e");
}

#[test]
fn a_terminal_has_its_size_and_carries_output() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    pod.start_process("c", "");
    let stdin = pod.fifo("stdin");
    let (stdout, reader) = pod.fifo_with_reader("stdout");
    pod.exec_arguments(
        "c",
        "e",
        &["sh", "-c", "stty size; read line; echo got $line; stty size"],
        |request| ExecProcessRequest {
            terminal: true,
            stdin: stdin.display().to_string(),
            stdout: stdout.display().to_string(),
            ..request
        },
    );
    let resize = |width, height| {
        let request = ResizePtyRequest {
            id: "c".into(),
            exec_id: "e".into(),
            width,
            height,
            ..ResizePtyRequest::default()
        };
        pod.task.resize_pty(no_deadline(), &request).unwrap();
    };
    resize(80, 24);
    pod.start_process("c", "e");
    let mut output = reader.join().unwrap();
    let mut first = [0; 7];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"24 80\r\n");
    resize(120, 40);
    fs::OpenOptions::new().write(true).open(&stdin).unwrap().write_all(b"a word\n").unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "a word\r\ngot a word\r\n40 120\r\n");
    assert_eq!(pod.wait("c", "e").exit_status, 0);
    pod.delete("c", "e");
}

#[test]
fn a_paused_task_is_frozen_and_refuses_execs() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000", |config| config);
    let pause = PauseRequest { id: "c".into(), ..PauseRequest::default() };
    assert_eq!(status_of(pod.task.pause(no_deadline(), &pause)), Code::FAILED_PRECONDITION);
    pod.start_process("c", "");
    pod.task.pause(no_deadline(), &pause).unwrap();
    assert_eq!(pod.state("c", "").status.enum_value(), Ok(Status::PAUSED));
    assert_eq!(
        status_of(pod.task.exec(no_deadline(), &pod.exec_request("c", "e", &["true"]))),
        Code::FAILED_PRECONDITION
    );
    let resume = ResumeRequest { id: "c".into(), ..ResumeRequest::default() };
    pod.task.resume(no_deadline(), &resume).unwrap();
    assert_eq!(pod.state("c", "").status.enum_value(), Ok(Status::RUNNING));
    pod.task.pause(no_deadline(), &pause).unwrap();
    pod.kill("c", "", 9).unwrap();
    assert_eq!(pod.wait("c", "").exit_status, 137);
    pod.delete("c", "");
    assert_eq!(
        pod.events_until("delete c"),
        ["create c", "start c", "paused c", "resumed c", "paused c", "exit c/c 137", "delete c"]
    );
}

#[test]
fn with_a_shared_pid_namespace_everything_ends_with_init() {
    let pod = Pod::start();
    pod.create("c", "sleep 1000 & exec sleep 1000", Pod::without_pid_namespace);
    pod.start_process("c", "");
    pod.exec("c", "e", "sleep 1000");
    pod.start_process("c", "e");
    let processes: Vec<_> = pod.pids("c").into_iter().map(pod::pidfd).collect();
    assert!(processes.len() >= 2, "{processes:?}");
    pod.kill("c", "", 15).unwrap();
    assert_eq!(pod.wait("c", "").exit_status, 143);
    assert_eq!(pod.wait("c", "e").exit_status, 137);
    for process in &processes {
        poll(&mut [PollFd::new(process, PollFlags::IN)], None).unwrap();
    }
    assert_eq!(
        status_of(pod.task.exec(no_deadline(), &pod.exec_request("c", "late", &["true"]))),
        Code::FAILED_PRECONDITION
    );
    pod.delete("c", "");
    let events = pod.events_until("delete c");
    assert_eq!(events[4..], ["exit c/e 137", "exit c/c 143", "delete c"]);
}

#[test]
fn a_task_that_was_never_started_can_be_deleted() {
    let pod = Pod::start();
    pod.create("c", "true", |config| config);
    assert_eq!(pod.delete("c", "").exit_status, 137);
    assert_eq!(pod.events_until("delete c"), ["create c", "exit c/c 137", "delete c"]);
}

#[test]
fn a_failed_create_leaves_the_id_free() {
    let pod = Pod::start();
    let error = pod
        .create_with(
            "c",
            "true",
            |mut config| {
                config["process"]["args"] = serde_json::json!(["/no/such/program"]);
                config
            },
            |request| request,
        )
        .and_then(|()| pod.task.start(no_deadline(), &pod.start_request("c", "")).map(drop))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/no/such/program"), "{error}");
    if pod.exists("c") {
        pod.delete("c", "");
    }
    pod.create("c", "true", |config| config);
    assert_eq!(
        status_of(pod.create_with("c", "true", |config| config, |request| request)),
        Code::ALREADY_EXISTS
    );
    pod.delete("c", "");
}

#[test]
fn an_exited_process_that_is_still_waited_for_is_told_to_everyone() {
    let pod = Pod::start();
    pod.create("c", "exit 9", |config| config);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..20).map(|_| scope.spawn(|| pod.wait("c", "").exit_status)).collect();
        pod.start_process("c", "");
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), 9);
        }
    });
    pod.delete("c", "");
}

#[test]
fn a_create_that_its_caller_gave_up_is_undone() {
    let pod = Pod::start();
    pod.prepare("c", "sleep 1000", |config| config);
    let one_microsecond = ttrpc::context::with_timeout(1_000);
    pod.task.create(one_microsecond, &pod.create_request("c")).unwrap_err();
    assert_eq!(pod.events_until("delete c"), ["create c", "exit c/c 137", "delete c"]);
    pod.create("c", "sleep 1000", |config| config);
    pod.delete("c", "");
}

#[test]
fn init_may_have_a_terminal() {
    let pod = Pod::start();
    let (stdout, reader) = pod.fifo_with_reader("stdout");
    pod.create_with(
        "c",
        "tty; stty size",
        |mut config| {
            config["process"]["terminal"] = serde_json::json!(true);
            config["process"]["consoleSize"] = serde_json::json!({"height": 30, "width": 100});
            config
        },
        |request| CreateTaskRequest { terminal: true, stdout: stdout.display().to_string(), ..request },
    )
    .unwrap();
    pod.start_process("c", "");
    assert_eq!(std::io::read_to_string(reader.join().unwrap()).unwrap(), "/dev/pts/0\r\n30 100\r\n");
    assert_eq!(pod.wait("c", "").exit_status, 0);
    pod.delete("c", "");
}

#[test]
fn a_shim_whose_sandbox_went_first_ends_with_its_last_container() {
    let pod = Pod::start();
    for id in ["pod", "c"] {
        pod.create(id, "exit 0", |config| config);
        pod.start_process(id, "");
        pod.wait(id, "");
    }
    pod.delete("pod", "");
    pod.shut_down("pod");
    // Not asked to end again: containerd asks for the sandbox alone.
    assert!(pod.exists("c"));
    pod.delete("c", "");
    pod.wait_for_end();
}

#[test]
fn a_start_that_fails_is_followed_by_the_exit() {
    let pod = Pod::start();
    let created = pod.create_with(
        "c",
        "",
        |mut config| {
            // Executable by its mode alone.
            config["process"]["args"] = serde_json::json!(["/etc/program"]);
            config
        },
        |request| {
            let program = pod.path("c").join("rootfs/etc/program");
            fs::write(&program, "no program of any kind").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            request
        },
    );
    created.unwrap();
    let error = pod.task.start(no_deadline(), &pod.start_request("c", "")).unwrap_err().to_string();
    assert!(error.contains("/etc/program"), "{error}");
    pod.wait("c", "");
    assert_eq!(pod.state("c", "").status.enum_value(), Ok(Status::STOPPED));
    pod.delete("c", "");
    let events = pod.events_until("delete c");
    assert_eq!((events[0].as_str(), events.len()), ("create c", 3), "{events:?}");
    assert!(events[1].starts_with("exit c/c "), "{events:?}");
}
