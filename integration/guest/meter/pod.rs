//! One shim, asked as containerd asks, and a receiver of its events. Must not know what is counted.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use containerd_shim_protos::api::{
    CreateTaskRequest, DeleteRequest, Empty, ExecProcessRequest, ForwardRequest, KillRequest, Mount,
    ShutdownRequest, StartRequest, StateRequest, StatsRequest, WaitRequest,
};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim_sync::{Client, Events, TaskClient, create_events};
use containerd_shim_protos::ttrpc::{self, Server, TtrpcContext, context};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use crate::bundle::{self, Limits};

const SANDBOX: &str = "pod";
const CONTAINER: &str = "container";
const EXEC: &str = "exec";
const KILL: u32 = 9;

/// The two processes of a pod, by pid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    pub(crate) shim: u32,
    pub(crate) spawner: u32,
}

pub(crate) struct Pod {
    program: PathBuf,
    namespace: String,
    directory: TempDir,
    task: TaskClient,
    processes: Processes,
    events: Arc<Recorder>,
    _server: Server,
    /// The client's ends of the standard streams.
    _readers: [File; 4],
}

/// Topics of the events that came, in order.
#[derive(Default)]
struct Recorder {
    topics: Mutex<Vec<String>>,
    added: Condvar,
}

impl Events for Recorder {
    fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
        let topic = request.envelope.topic.clone();
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(topic);
        self.added.notify_all();
        Ok(Empty::new())
    }
}

impl Recorder {
    /// Waits for an event, and forgets it and all before it.
    fn take(&self, topic: &str) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(index) = topics.iter().position(|seen| seen == topic) {
                topics.drain(..=index);
                return;
            }
            topics = self.added.wait(topics).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn no_deadline() -> context::Context {
    context::with_timeout(0)
}

/// What is left of kubelet's own time for a request.
fn kubelets_deadline() -> context::Context {
    context::with_timeout(120_000_000_000)
}

/// containerd's limit for State (`io.containerd.timeout.task.state`).
fn state_deadline() -> context::Context {
    context::with_timeout(2_000_000_000)
}

impl Pod {
    pub(crate) fn start(program: &Path, limits: Limits) -> Result<Self> {
        let directory = tempfile::tempdir().context("make a directory")?;
        let events = Arc::new(Recorder::default());
        let address = directory.path().join("events");
        let receiver = Arc::clone(&events) as Arc<dyn Events + Send + Sync>;
        let mut server = Server::new()
            .bind(&format!("unix://{}", address.display()))
            .context("bind the event socket")?
            .register_service(create_events(receiver));
        server.start().context("serve events")?;

        let namespace = format!("meter-{}", std::process::id());
        let address = start(program, &namespace, directory.path(), &address)?;
        let task = TaskClient::new(Client::connect(&address).context("connect to the shim")?);
        let connected = task.connect(no_deadline(), &Default::default()).context("Connect")?;
        let shim = connected.shim_pid;
        let processes = Processes { shim, spawner: child_of(shim)? };
        bundle::write(&directory.path().join(CONTAINER), &namespace, limits)?;
        let fifos = ["stdout", "stderr", "exec-stdout", "exec-stderr"];
        let readers = fifos.map(|name| fifo(&directory.path().join(name)));
        let [first, second, third, fourth] = readers;
        let _readers = [first?, second?, third?, fourth?];
        let program = program.to_owned();
        Ok(Self { program, namespace, directory, task, processes, events, _server: server, _readers })
    }

    pub(crate) fn processes(&self) -> Processes {
        self.processes
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Also asks what containerd asks around Create and Start.
    pub(crate) fn start_container(&self) -> Result<()> {
        let request = CreateTaskRequest {
            id: CONTAINER.into(),
            bundle: self.path(CONTAINER),
            rootfs: vec![self.rootfs()],
            stdout: self.path("stdout"),
            stderr: self.path("stderr"),
            ..CreateTaskRequest::default()
        };
        self.task.create(kubelets_deadline(), &request).context("Create")?;
        self.ask_for_state("", 1)?;
        let request = StartRequest { id: CONTAINER.into(), ..StartRequest::default() };
        self.task.start(kubelets_deadline(), &request).context("Start")?;
        self.ask_for_state("", 2)?;
        self.events.take("/tasks/start");
        Ok(())
    }

    /// Of a container by an empty `exec_id`.
    fn ask_for_state(&self, exec_id: &str, times: usize) -> Result<()> {
        let request =
            StateRequest { id: CONTAINER.into(), exec_id: exec_id.into(), ..StateRequest::default() };
        for _ in 0..times {
            self.task.state(state_deadline(), &request).context("State")?;
        }
        Ok(())
    }

    fn rootfs(&self) -> Mount {
        let options = bundle::overlay(&self.directory.path().join(CONTAINER));
        Mount { type_: "overlay".into(), source: "overlay".into(), options, ..Mount::default() }
    }

    /// Also asks what containerd asks around the requests of an ExecSync: it looks a process up by its state before each.
    pub(crate) fn exec(&self) -> Result<()> {
        let spec = Any { value: bundle::probe().to_string().into_bytes(), ..Any::default() };
        let request = ExecProcessRequest {
            id: CONTAINER.into(),
            exec_id: EXEC.into(),
            stdout: self.path("exec-stdout"),
            stderr: self.path("exec-stderr"),
            spec: MessageField::some(spec),
            ..ExecProcessRequest::default()
        };
        self.ask_for_state("", 1)?;
        self.task.exec(kubelets_deadline(), &request).context("Exec")?;
        self.ask_for_state(EXEC, 2)?;
        let request = StartRequest { id: CONTAINER.into(), exec_id: EXEC.into(), ..StartRequest::default() };
        self.task.start(kubelets_deadline(), &request).context("Start of an exec")?;
        self.ask_for_state(EXEC, 1)?;
        let request = WaitRequest { id: CONTAINER.into(), exec_id: EXEC.into(), ..WaitRequest::default() };
        let exit = self.task.wait(kubelets_deadline(), &request).context("Wait for an exec")?;
        ensure!(exit.exit_status == 0, "the exec ended with {}", exit.exit_status);
        self.ask_for_state(EXEC, 2)?;
        let request = KillRequest {
            id: CONTAINER.into(),
            exec_id: EXEC.into(),
            signal: KILL,
            ..KillRequest::default()
        };
        // Always sent, to be on the safe side.
        let killed = self.task.kill(kubelets_deadline(), &request);
        ensure!(killed.is_err(), "a process that had ended was killed");
        self.ask_for_state(EXEC, 3)?;
        let request =
            DeleteRequest { id: CONTAINER.into(), exec_id: EXEC.into(), ..DeleteRequest::default() };
        self.task.delete(kubelets_deadline(), &request).context("Delete of an exec")?;
        self.events.take("/tasks/exit");
        Ok(())
    }

    pub(crate) fn stats(&self) -> Result<()> {
        let request = StatsRequest { id: CONTAINER.into(), ..StatsRequest::default() };
        self.task.stats(no_deadline(), &request).context("Stats")?;
        Ok(())
    }

    pub(crate) fn stop_container(&self) -> Result<()> {
        let request = KillRequest { id: CONTAINER.into(), signal: KILL, ..KillRequest::default() };
        self.task.kill(no_deadline(), &request).context("Kill")?;
        let request = WaitRequest { id: CONTAINER.into(), ..WaitRequest::default() };
        self.task.wait(no_deadline(), &request).context("Wait")?;
        let request = DeleteRequest { id: CONTAINER.into(), ..DeleteRequest::default() };
        self.task.delete(no_deadline(), &request).context("Delete")?;
        self.events.take("/tasks/delete");
        Ok(())
    }

    /// Shuts the shim down; returns when it has ended.
    pub(crate) fn end(self) -> Result<()> {
        let pid =
            i32::try_from(self.processes.shim).ok().and_then(Pid::from_raw).context("the shim's pid")?;
        let shim = pidfd_open(pid, PidfdFlags::empty()).context("open the shim's pidfd")?;
        let request = ShutdownRequest { id: SANDBOX.into(), ..ShutdownRequest::default() };
        self.task.shutdown(no_deadline(), &request).context("Shutdown")?;
        poll(&mut [PollFd::new(&shim, PollFlags::IN)], None).context("wait for the shim's end")?;
        Ok(())
    }
}

impl Drop for Pod {
    /// What containerd does for a shim that is gone; nothing is left to do unless something failed.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.processes.shim).ok().and_then(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::KILL);
        }
        let deleted = Command::new(&self.program)
            .args(["-namespace", &self.namespace, "-address", "/none", "-id", CONTAINER, "-bundle"])
            .arg(self.directory.path().join(CONTAINER))
            .arg("delete")
            .current_dir(self.directory.path().join(SANDBOX))
            .env("TTRPC_ADDRESS", "/none")
            .output();
        drop(deleted);
        // They are for all containers of a namespace, and this one has had its last.
        let records = Path::new("/run/ballast").join(&self.namespace);
        for empty in [records.join(SANDBOX), records, Path::new("/sys/fs/cgroup").join(&self.namespace)] {
            drop(fs::remove_dir(empty));
        }
    }
}

/// Runs the shim's `start`; returns the address of the pod's socket.
fn start(program: &Path, namespace: &str, directory: &Path, events: &Path) -> Result<String> {
    let grpc = directory.join("grpc").display().to_string();
    let parameters = BootstrapParams {
        instance_id: SANDBOX.into(),
        namespace: namespace.into(),
        containerd_grpc_address: grpc.clone(),
        socket_dir: Some(directory.join("s").display().to_string()),
        ..BootstrapParams::default()
    };
    let bundle = directory.join(SANDBOX);
    fs::create_dir(&bundle).context("make the pod's bundle")?;
    let mut start = Command::new(program)
        .args(["-namespace", namespace, "-address", &grpc, "-publish-binary", "/bin/containerd"])
        .args(["-id", SANDBOX, "start"])
        .current_dir(&bundle)
        .env("TTRPC_ADDRESS", events)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut stdin = start.stdin.take().context("no pipe to the shim's start")?;
    stdin.write_all(&parameters.write_to_bytes()?).context("write to the shim's start")?;
    drop(stdin);
    let output = start.wait_with_output().context("wait for the shim's start")?;
    ensure!(output.status.success(), "the shim's start: {}", output.status);
    Ok(BootstrapResult::parse_from_bytes(&output.stdout).context("read the shim's answer")?.address)
}

/// The one child of a process.
fn child_of(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    children.trim().parse().with_context(|| format!("the shim's children are {children:?}, not the spawner"))
}

/// Makes a FIFO and opens the client's end.
fn fifo(path: &PathBuf) -> Result<File> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o700), 0)
        .with_context(|| format!("make {}", path.display()))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader =
        rustix::fs::open(path, flags, Mode::empty()).with_context(|| format!("open {}", path.display()))?;
    Ok(File::from(reader))
}
