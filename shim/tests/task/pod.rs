//! One started shim with its client, its bundles and a recorder of the events that it sends.

use std::{
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use containerd_shim_protos::{
    api::{
        CloseIORequest, CreateTaskRequest, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest,
        ForwardRequest, KillRequest, PidsRequest, ShutdownRequest, StartRequest, StateRequest, StateResponse,
        WaitRequest, WaitResponse,
    },
    bootstrap_api::{BootstrapParams, BootstrapResult},
    events::task::{
        TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOOM, TaskPaused, TaskResumed,
        TaskStart,
    },
    protobuf::{Message, MessageField, well_known_types::any::Any},
    shim_sync::{Client, Events, TaskClient, create_events},
    ttrpc::{self, Code, Server, TtrpcContext, context},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-ballast-v2");
static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Pod {
    directory: TempDir,
    namespace: String,
    client: Client,
    pub(crate) task: TaskClient,
    shim: OwnedFd,
    events: Arc<Recorder>,
    _server: Server,
}

/// Events as one line each, in the order of their arrival.
#[derive(Default)]
struct Recorder {
    lines: Mutex<Vec<String>>,
    added: Condvar,
}

impl Events for Recorder {
    fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
        let envelope = request.envelope.unwrap();
        self.lines.lock().unwrap().push(line(&envelope.topic, &envelope.event.value));
        self.added.notify_all();
        Ok(Empty::new())
    }
}

fn line(topic: &str, event: &[u8]) -> String {
    fn parse<M: Message>(event: &[u8]) -> M {
        M::parse_from_bytes(event).unwrap()
    }
    match topic {
        "/tasks/create" => format!("create {}", parse::<TaskCreate>(event).container_id),
        "/tasks/start" => format!("start {}", parse::<TaskStart>(event).container_id),
        "/tasks/delete" => format!("delete {}", parse::<TaskDelete>(event).container_id),
        "/tasks/oom" => format!("oom {}", parse::<TaskOOM>(event).container_id),
        "/tasks/paused" => format!("paused {}", parse::<TaskPaused>(event).container_id),
        "/tasks/resumed" => format!("resumed {}", parse::<TaskResumed>(event).container_id),
        "/tasks/exec-added" => {
            let event = parse::<TaskExecAdded>(event);
            format!("exec-added {}/{}", event.container_id, event.exec_id)
        }
        "/tasks/exec-started" => {
            let event = parse::<TaskExecStarted>(event);
            format!("exec-started {}/{}", event.container_id, event.exec_id)
        }
        "/tasks/exit" => {
            let event = parse::<TaskExit>(event);
            format!("exit {}/{} {}", event.container_id, event.id, event.exit_status)
        }
        other => panic!("unknown topic {other}"),
    }
}

pub(crate) fn no_deadline() -> context::Context {
    context::with_timeout(0)
}

pub(crate) fn pidfd(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid.cast_signed()).unwrap(), PidfdFlags::empty()).unwrap()
}

pub(crate) fn status_of<T>(result: ttrpc::Result<T>) -> Code {
    match result {
        Ok(_) => Code::OK,
        Err(ttrpc::Error::RpcStatus(status)) => status.code(),
        Err(error) => panic!("{error}"),
    }
}

impl Pod {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let namespace = format!("task-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let events = Arc::new(Recorder::default());
        let address = directory.path().join("events");
        let mut server = Server::new()
            .bind(&format!("unix://{}", address.display()))
            .unwrap()
            .register_service(create_events(Arc::clone(&events) as Arc<dyn Events + Send + Sync>));
        server.start().unwrap();

        let grpc = directory.path().join("grpc").display().to_string();
        let parameters = BootstrapParams {
            instance_id: "pod".into(),
            namespace: namespace.clone(),
            containerd_grpc_address: grpc.clone(),
            socket_dir: Some(directory.path().join("s").display().to_string()),
            ..BootstrapParams::default()
        };
        let bundle = directory.path().join("pod");
        std::fs::create_dir(&bundle).unwrap();
        let mut start = Command::new(SHIM)
            .args(["-namespace", &namespace, "-address", &grpc, "-publish-binary", "/bin/containerd"])
            .args(["-id", "pod", "-debug", "start"])
            .current_dir(&bundle)
            .env("TTRPC_ADDRESS", &address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        start.stdin.take().unwrap().write_all(&parameters.write_to_bytes().unwrap()).unwrap();
        let output = start.wait_with_output().unwrap();
        assert!(output.status.success());
        let reply = BootstrapResult::parse_from_bytes(&output.stdout).unwrap();
        let client = Client::connect(&reply.address).unwrap();
        let task = TaskClient::new(client.clone());
        let connected = task.connect(no_deadline(), &Default::default()).unwrap();
        let shim = pidfd(connected.shim_pid);
        Self { directory, namespace, client, task, shim, events, _server: server }
    }

    /// The directory of the records of the pod's shim.
    pub(crate) fn records(&self) -> PathBuf {
        Path::new(ballast_runtime::STATE_DIRECTORY).join(&self.namespace).join("pod")
    }

    /// Calls a method of Ballast's own service.
    pub(crate) fn control<Answer: Message>(
        &self,
        method: &str,
        question: &impl Message,
    ) -> Result<Answer, ttrpc::Status> {
        let request = ttrpc::Request {
            service: "ballast.pod.v1.Pod".into(),
            method: method.into(),
            payload: question.write_to_bytes().unwrap(),
            ..ttrpc::Request::default()
        };
        match self.client.request(request) {
            Ok(response) => Ok(Answer::parse_from_bytes(&response.payload).unwrap()),
            Err(ttrpc::Error::RpcStatus(status)) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
        path
    }

    /// A FIFO, and its read end as soon as there is a writer: a client opens its end before it asks for a process.
    pub(crate) fn fifo_with_reader(&self, name: &str) -> (PathBuf, std::thread::JoinHandle<std::fs::File>) {
        let path = self.fifo(name);
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::File::open(path).unwrap()
        });
        (path, reader)
    }

    pub(crate) fn create(&self, id: &str, script: &str, change: impl FnOnce(Value) -> Value) {
        self.create_with(id, script, change, |request| request).unwrap();
    }

    pub(crate) fn create_with(
        &self,
        id: &str,
        script: &str,
        change: impl FnOnce(Value) -> Value,
        ask: impl FnOnce(CreateTaskRequest) -> CreateTaskRequest,
    ) -> ttrpc::Result<()> {
        self.prepare(id, script, change);
        self.task.create(no_deadline(), &ask(self.create_request(id))).map(drop)
    }

    /// Makes the bundle alone.
    pub(crate) fn prepare(&self, id: &str, script: &str, change: impl FnOnce(Value) -> Value) {
        let bundle = self.path(id);
        make_rootfs(&bundle.join("rootfs"));
        let config = change(config(&format!("/ballast/{}-{id}", self.namespace), script));
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    }

    pub(crate) fn create_request(&self, id: &str) -> CreateTaskRequest {
        let bundle = self.path(id).display().to_string();
        CreateTaskRequest { id: id.into(), bundle, ..CreateTaskRequest::default() }
    }

    pub(crate) fn without_pid_namespace(mut config: Value) -> Value {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
        config
    }

    pub(crate) fn exec_request(&self, id: &str, exec_id: &str, arguments: &[&str]) -> ExecProcessRequest {
        let process = json!({
            "user": {"uid": 0, "gid": 0}, "args": arguments, "cwd": "/", "env": ["PATH=/usr/bin:/bin"]
        });
        let spec = Any { value: process.to_string().into_bytes(), ..Any::default() };
        ExecProcessRequest {
            id: id.into(),
            exec_id: exec_id.into(),
            spec: MessageField::some(spec),
            ..ExecProcessRequest::default()
        }
    }

    pub(crate) fn exec_arguments(
        &self,
        id: &str,
        exec_id: &str,
        arguments: &[&str],
        ask: impl FnOnce(ExecProcessRequest) -> ExecProcessRequest,
    ) {
        self.task.exec(no_deadline(), &ask(self.exec_request(id, exec_id, arguments))).unwrap();
    }

    pub(crate) fn exec(&self, id: &str, exec_id: &str, script: &str) {
        self.exec_arguments(id, exec_id, &["sh", "-c", script], |request| request);
    }

    pub(crate) fn start_request(&self, id: &str, exec_id: &str) -> StartRequest {
        StartRequest { id: id.into(), exec_id: exec_id.into(), ..StartRequest::default() }
    }

    pub(crate) fn start_process(&self, id: &str, exec_id: &str) {
        let started = self.task.start(no_deadline(), &self.start_request(id, exec_id)).unwrap();
        assert!(started.pid > 0);
    }

    pub(crate) fn state(&self, id: &str, exec_id: &str) -> StateResponse {
        let request = StateRequest { id: id.into(), exec_id: exec_id.into(), ..StateRequest::default() };
        self.task.state(no_deadline(), &request).unwrap()
    }

    pub(crate) fn exists(&self, id: &str) -> bool {
        let request = StateRequest { id: id.into(), ..StateRequest::default() };
        self.task.state(no_deadline(), &request).is_ok()
    }

    pub(crate) fn wait_request(&self, id: &str, exec_id: &str) -> WaitRequest {
        WaitRequest { id: id.into(), exec_id: exec_id.into(), ..WaitRequest::default() }
    }

    pub(crate) fn wait(&self, id: &str, exec_id: &str) -> WaitResponse {
        self.task.wait(no_deadline(), &self.wait_request(id, exec_id)).unwrap()
    }

    pub(crate) fn kill(&self, id: &str, exec_id: &str, signal: u32) -> Result<(), ttrpc::Status> {
        let request =
            KillRequest { id: id.into(), exec_id: exec_id.into(), signal, ..KillRequest::default() };
        match self.task.kill(no_deadline(), &request) {
            Ok(_) => Ok(()),
            Err(ttrpc::Error::RpcStatus(status)) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn close_stdin(&self, id: &str, exec_id: &str) {
        let request = CloseIORequest {
            id: id.into(),
            exec_id: exec_id.into(),
            stdin: true,
            ..CloseIORequest::default()
        };
        self.task.close_io(no_deadline(), &request).unwrap();
    }

    pub(crate) fn delete_request(&self, id: &str, exec_id: &str) -> DeleteRequest {
        DeleteRequest { id: id.into(), exec_id: exec_id.into(), ..DeleteRequest::default() }
    }

    pub(crate) fn delete(&self, id: &str, exec_id: &str) -> DeleteResponse {
        self.task.delete(no_deadline(), &self.delete_request(id, exec_id)).unwrap()
    }

    pub(crate) fn shut_down(&self, id: &str) {
        let request = ShutdownRequest { id: id.into(), ..ShutdownRequest::default() };
        self.task.shutdown(no_deadline(), &request).unwrap();
    }

    /// Returns when the shim's process has ended.
    pub(crate) fn wait_for_end(&self) {
        poll(&mut [PollFd::new(&self.shim, PollFlags::IN)], None).unwrap();
    }

    pub(crate) fn pids(&self, id: &str) -> Vec<u32> {
        let request = PidsRequest { id: id.into(), ..PidsRequest::default() };
        let response = self.task.pids(no_deadline(), &request).unwrap();
        response.processes.into_iter().map(|process| process.pid).collect()
    }

    /// Everything that was sent up to and with `last`.
    pub(crate) fn events_until(&self, last: &str) -> Vec<String> {
        let mut lines = self.events.lines.lock().unwrap();
        while !lines.iter().any(|line| line == last) {
            lines = self.events.added.wait(lines).unwrap();
        }
        lines.clone()
    }
}

impl Drop for Pod {
    /// Ends what a failed test leaves; containers end with their cgroups.
    fn drop(&mut self) {
        // First, for while it lives its socket stays.
        pidfd_send_signal(&self.shim, Signal::KILL).ok();
        self.wait_for_end();
        let bundle = self.path("pod");
        for id in ["pod", "c"] {
            let deleted = Command::new(SHIM)
                .args(["-namespace", &self.namespace, "-address", "/none", "-id", id, "-bundle"])
                .arg(self.path(id))
                .arg("delete")
                .current_dir(&bundle)
                .env("TTRPC_ADDRESS", "/none")
                .output();
            drop(deleted);
        }
        // Namespaces are few on a node and stay; a test's is of no more use. Not empty: the test left something.
        std::fs::remove_dir(Path::new(ballast_runtime::STATE_DIRECTORY).join(&self.namespace)).ok();
    }
}

fn make_rootfs(rootfs: &Path) {
    for name in ["proc", "sys", "dev", "etc", "usr", "tmp", "root"] {
        std::fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
    {
        // There already when a bundle is used again.
        std::os::unix::fs::symlink(target, rootfs.join(link)).ok();
    }
}

fn config(cgroup: &str, script: &str) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], "cwd": "/", "noNewPrivileges": true,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "rprivate", "ro"]}
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]}
        }
    })
}
