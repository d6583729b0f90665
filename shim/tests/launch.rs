//! The built program as containerd runs it: `start`, requests to the daemon, its end. Needs root.

#![allow(clippy::unwrap_used, reason = "the lint's exception for tests knows only functions marked as such")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use containerd_shim_protos::{
    api::{ConnectRequest, ConnectResponse, DeleteResponse, ShutdownRequest},
    bootstrap_api::{BootstrapParams, BootstrapResult, Extension, LogLevel},
    protobuf::{EnumOrUnknown, Message, MessageField, well_known_types::any::Any},
    shim::oci,
    shim_sync::{Client, TaskClient},
    types::introspection::RuntimeInfo,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    mount::{MountFlags, UnmountFlags},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tempfile::TempDir;
use ttrpc::context;

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-ballast-v2");
const NAMESPACE: &str = "ballast-test";

/// containerd's state directory for one test: bundles, and a directory for sockets.
struct State(TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn sockets(&self) -> PathBuf {
        self.0.path().join("s")
    }

    fn bundle(&self, id: &str) -> PathBuf {
        let bundle = self.0.path().join(id);
        std::fs::create_dir_all(&bundle).unwrap();
        bundle
    }

    /// Runs the shim in the bundle of `id`, as containerd does.
    fn run(&self, id: &str, action: &str, input: &[u8]) -> Output {
        let mut shim = Command::new(SHIM)
            .args(["-namespace", NAMESPACE, "-address", &self.0.path().join("grpc").display().to_string()])
            .args(["-publish-binary", "/bin/containerd", "-id", id, "-debug", action])
            .current_dir(self.bundle(id))
            .env("TTRPC_ADDRESS", self.0.path().join("ttrpc"))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shim.stdin.take().unwrap().write_all(input).unwrap();
        shim.wait_with_output().unwrap()
    }

    /// `start` as containerd 2.3 calls it. Returns the socket.
    fn start(&self, id: &str) -> PathBuf {
        self.start_with(id, &self.parameters(id))
    }

    fn start_with(&self, id: &str, parameters: &BootstrapParams) -> PathBuf {
        let output = self.run(id, "start", &parameters.write_to_bytes().unwrap());
        let result = BootstrapResult::parse_from_bytes(&succeeded(output)).unwrap();
        assert_eq!((result.version, result.protocol.as_str()), (3, "ttrpc"));
        PathBuf::from(result.address.strip_prefix("unix://").unwrap())
    }

    fn parameters(&self, id: &str) -> BootstrapParams {
        BootstrapParams {
            instance_id: id.into(),
            namespace: NAMESPACE.into(),
            containerd_grpc_address: self.0.path().join("grpc").display().to_string(),
            socket_dir: Some(self.sockets().display().to_string()),
            log_level: EnumOrUnknown::new(LogLevel::LOG_LEVEL_DEBUG),
            ..BootstrapParams::default()
        }
    }
}

/// A daemon that is killed when its test fails.
struct Daemon {
    socket: PathBuf,
    pidfd: OwnedFd,
    children: Vec<OwnedFd>,
}

impl Daemon {
    fn at(socket: PathBuf) -> Self {
        let pid = connect(&socket).shim_pid;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pidfd(pid.parse().unwrap())).collect();
        Self { socket, pidfd: pidfd(pid), children }
    }

    fn shut_down(&self) {
        let request = ShutdownRequest { id: "pod".into(), ..ShutdownRequest::default() };
        client(&self.socket).shutdown(context::with_timeout(0), &request).unwrap();
    }

    /// Waits for the end of the daemon and all its children, then looks for what they left.
    fn assert_gone(&self) {
        for process in std::iter::once(&self.pidfd).chain(&self.children) {
            poll(&mut [PollFd::new(process, PollFlags::IN)], None).unwrap();
        }
        assert!(!self.socket.exists(), "the socket is left behind");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails when it has ended, as it should have.
        pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
    }
}

fn pidfd(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid.cast_signed()).unwrap(), PidfdFlags::empty()).unwrap()
}

fn succeeded(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

fn client(socket: &Path) -> TaskClient {
    TaskClient::new(Client::connect(&format!("unix://{}", socket.display())).unwrap())
}

fn connect(socket: &Path) -> ConnectResponse {
    client(socket).connect(context::with_timeout(0), &ConnectRequest::default()).unwrap()
}

#[test]
fn a_started_shim_answers_and_its_shutdown_leaves_nothing() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn a_second_start_of_the_group_joins_the_first() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    let annotations = r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#;
    std::fs::write(state.bundle("container").join("config.json"), annotations).unwrap();
    assert_eq!(state.start("container"), daemon.socket);
    assert_ne!(state.start("other"), daemon.socket);
    let other = Daemon::at(state.start("other"));
    for daemon in [daemon, other] {
        daemon.shut_down();
        daemon.assert_gone();
    }
}

#[test]
fn a_socket_whose_shim_was_killed_is_taken_over() {
    let state = State::new();
    let first = Daemon::at(state.start("pod"));
    pidfd_send_signal(&first.pidfd, Signal::KILL).unwrap();
    for process in std::iter::once(&first.pidfd).chain(&first.children) {
        poll(&mut [PollFd::new(process, PollFlags::IN)], None).unwrap();
    }
    assert!(first.socket.exists());
    let second = Daemon::at(state.start("pod"));
    assert_eq!(second.socket, first.socket);
    second.shut_down();
    second.assert_gone();
}

#[test]
fn sigterm_ends_a_shim_and_removes_its_socket() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    pidfd_send_signal(&daemon.pidfd, Signal::TERM).unwrap();
    daemon.assert_gone();
}

#[test]
fn an_older_containerd_gets_the_bare_address_also_in_a_file() {
    let state = State::new();
    let address = String::from_utf8(succeeded(state.run("pod", "start", b""))).unwrap();
    assert_eq!(std::fs::read_to_string(state.bundle("pod").join("address")).unwrap(), address);
    let daemon = Daemon::at(PathBuf::from(address.strip_prefix("unix://").unwrap()));
    std::fs::remove_file(state.bundle("pod").join("address")).unwrap();
    assert_eq!(succeeded(state.run("pod", "start", b"")), address.as_bytes());
    assert!(state.bundle("pod").join("address").exists(), "also written by one that joins");
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn the_log_goes_to_the_fifo_of_the_bundle() {
    let state = State::new();
    let fifo = state.bundle("pod").join("log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut reader = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let daemon = Daemon::at(state.start("pod"));
    let mut line = vec![0; 4096];
    let length = reader.read(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..length]);
    assert!(line.contains("level=info msg=\"shim serves\" id=pod"), "{line}");
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn sigusr1_switches_a_running_shim_to_debug_and_back() {
    let state = State::new();
    let fifo = state.bundle("pod").join("log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut log = BufReader::new(std::fs::File::options().read(true).write(true).open(&fifo).unwrap());
    let mut parameters = state.parameters("pod");
    parameters.log_level = EnumOrUnknown::new(LogLevel::LOG_LEVEL_ERROR);
    let daemon = Daemon::at(state.start_with("pod", &parameters));
    for level in ["level=debug", "level=error"] {
        pidfd_send_signal(&daemon.pidfd, Signal::USR1).unwrap();
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(line.contains("log level changed") && line.contains(level), "{line}");
    }
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn another_user_is_refused_even_where_the_socket_is_open_to_all() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    for path in [state.0.path(), &state.sockets(), &daemon.socket] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    assert!(std::fs::metadata(&daemon.socket).unwrap().file_type().is_socket());
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "connects_and_is_closed", "--ignored"])
        .env("BALLAST_TEST_SOCKET", &daemon.socket)
        .uid(65534)
        .output()
        .unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stdout));
    assert!(String::from_utf8_lossy(&client.stdout).contains("1 passed"));
    connect(&daemon.socket);
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
#[ignore = "runs as another user, from another_user_is_refused_even_where_the_socket_is_open_to_all"]
fn connects_and_is_closed() {
    let socket = std::env::var_os("BALLAST_TEST_SOCKET").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "the shim closes without an answer");
}

#[test]
fn of_many_starts_at_once_all_get_the_same_shim() {
    let state = State::new();
    let sockets: Vec<PathBuf> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| state.start("pod"))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let pids: Vec<u32> = sockets.iter().map(|socket| connect(socket).shim_pid).collect();
    let daemon = Daemon::at(sockets[0].clone());
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn options_that_cannot_be_honoured_fail_the_start_by_name() {
    let options = oci::Options { binary_name: "crun".into(), ..oci::Options::default() };
    let error = start_refused(&State::new(), &options);
    assert!(error.contains("binary_name"), "{error}");
}

#[test]
fn a_start_that_fails_after_it_took_the_socket_gives_it_back() {
    let state = State::new();
    let options = oci::Options { shim_cgroup: "/no/such/cgroup".into(), ..oci::Options::default() };
    let error = start_refused(&state, &options);
    assert!(error.contains("/no/such/cgroup"), "{error}");
    assert_eq!(std::fs::read_dir(state.sockets()).unwrap().count(), 0);
}

fn start_refused(state: &State, options: &oci::Options) -> String {
    let value = options.write_to_bytes().unwrap();
    let options = Any { type_url: "containerd.runc.v1.Options".into(), value, ..Any::default() };
    let mut parameters = state.parameters("pod");
    parameters.extensions = vec![Extension { value: MessageField::some(options), ..Extension::default() }];
    let output = state.run("pod", "start", &parameters.write_to_bytes().unwrap());
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_daemon_is_easier_to_kill_than_its_starter_and_pins_no_directory() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    let pid = connect(&daemon.socket).shim_pid;
    let score = |pid: &str| -> i32 {
        std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
    };
    assert_eq!(score(&pid.to_string()), (score("self") + 1).min(1000));
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    let descriptors: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!descriptors.iter().any(|target| target.starts_with(state.0.path())), "{descriptors:?}");
    daemon.shut_down();
    daemon.assert_gone();
}

#[test]
fn delete_of_nothing_tells_a_kill() {
    let output = State::new().run("pod", "delete", b"");
    let response = DeleteResponse::parse_from_bytes(&succeeded(output)).unwrap();
    assert_eq!((response.pid, response.exit_status), (0, 137));
}

/// A container as a crash of its shim leaves it: a process in a cgroup, the record of that, a mounted rootfs.
struct Leftover {
    cgroup: PathBuf,
    record: PathBuf,
    rootfs: PathBuf,
    process: Child,
}

impl Leftover {
    fn of(state: &State, shim: &str, id: &str) -> Self {
        let hierarchy = ballast_cgroups::Hierarchy::discover().unwrap();
        let name = format!("ballast-test-{}-{id}", std::process::id());
        let cgroup = hierarchy.mount_point().join(&name);
        std::fs::create_dir(&cgroup).unwrap();
        let process = Command::new("/bin/sh")
            .args(["-c", "echo 0 > \"$0/cgroup.procs\"; echo; read wait"])
            .arg(&cgroup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut leftover =
            Self { cgroup, record: record(shim, id), rootfs: state.bundle(id).join("rootfs"), process };
        leftover.process.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
        std::fs::create_dir_all(leftover.record.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&name, &leftover.record).unwrap();
        std::fs::create_dir(&leftover.rootfs).unwrap();
        for directory in [leftover.rootfs.clone(), leftover.rootfs.join("below")] {
            std::fs::create_dir_all(&directory).unwrap();
            rustix::mount::mount(c"none", &directory, c"tmpfs", MountFlags::empty(), None).unwrap();
        }
        leftover
    }

    fn assert_gone(&mut self) {
        assert_eq!(self.process.wait().unwrap().signal(), Some(9));
        assert!(!self.cgroup.exists() && self.record.symlink_metadata().is_err());
        assert!(!self.record.parent().unwrap().exists(), "the directory of the shim's records is left");
        assert_eq!(std::fs::read_dir(&self.rootfs).unwrap().count(), 0, "the rootfs is still mounted");
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // After a test that failed; what is gone already cannot be removed again.
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir(&self.cgroup).ok();
        std::fs::remove_file(&self.record).ok();
        for _ in 0..2 {
            rustix::mount::unmount(&self.rootfs, UnmountFlags::DETACH).ok();
        }
    }
}

fn record(shim: &str, id: &str) -> PathBuf {
    Path::new(ballast_runtime::STATE_DIRECTORY).join(NAMESPACE).join(shim).join(id)
}

#[test]
fn delete_of_a_crashed_pod_cleans_all_its_containers_and_no_other() {
    let state = State::new();
    // Records are the host's, so ids must not be those of another run of this test.
    let id = |name: &str| format!("{name}-{}", std::process::id());
    let (pod, container, foreign) = (id("pod"), id("container"), id("foreign"));
    let mut leftovers = [Leftover::of(&state, &pod, &pod), Leftover::of(&state, &pod, &container)];
    // Started for another container, which has been deleted since.
    let mut other = Leftover::of(&state, &id("other"), &foreign);
    let response = DeleteResponse::parse_from_bytes(&succeeded(state.run(&pod, "delete", b""))).unwrap();
    assert_eq!(response.exit_status, 137);
    leftovers.iter_mut().for_each(Leftover::assert_gone);
    assert!(other.cgroup.exists() && other.process.try_wait().unwrap().is_none());
    succeeded(state.run(&foreign, "delete", b""));
    other.assert_gone();
}

#[test]
fn delete_removes_the_socket_of_a_dead_shim() {
    let state = State::new();
    let daemon = Daemon::at(state.start("pod"));
    pidfd_send_signal(&daemon.pidfd, Signal::KILL).unwrap();
    for process in std::iter::once(&daemon.pidfd).chain(&daemon.children) {
        poll(&mut [PollFd::new(process, PollFlags::IN)], None).unwrap();
    }
    succeeded(state.run("pod", "delete", b""));
    daemon.assert_gone();
}

#[test]
fn info_needs_no_environment() {
    let output = Command::new(SHIM).arg("-info").env_clear().stdin(Stdio::null()).output().unwrap();
    let info = RuntimeInfo::parse_from_bytes(&succeeded(output)).unwrap();
    assert_eq!(info.name, "io.containerd.ballast.v2");
}

#[test]
fn serve_by_hand_says_what_is_wrong() {
    let output = Command::new(SHIM)
        .args(["-namespace", "n", "-id", "i", "serve"])
        .env("TTRPC_ADDRESS", "/x")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a listening socket"), "{output:?}");
}
