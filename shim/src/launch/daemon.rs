//! `serve`: be the shim of a pod, from the inherited socket to the last answer.
//!
//! Ends when the Task service asks for it (Shutdown with no container left) or on SIGTERM or SIGINT. A signal ends
//! the shim only: containers are left running, and containerd, which sees the connection close, calls `delete` to
//! kill them, as it does after a crash. Must not know what a task does.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ballast_runtime::{Runtime, ShimRecord};
use rustix::{
    fs::{Mode, OFlags},
    process::{getpid, set_child_subreaper},
};
use tokio::{
    io::Interest,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{
    TTRPC_ADDRESS,
    arguments::{Arguments, Identity},
};
use crate::{
    events::{Flusher, Publisher},
    log::{self, Level, Sink},
    readiness,
    reaper::Reaper,
    server::{self, Context, ServerError, Services, Shutdown},
    version,
};

/// containerd gives the Shutdown request three seconds.
const FLUSH_BOUND: Duration = Duration::from_secs(2);
/// A blocking call's thread ends soon after, so that an idle pod has one thread.
const BLOCKING_THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// What `ps` and `pgrep` show, for the processes that this one forks too; the kernel cuts longer names. Executed through a
/// descriptor, the program would otherwise be named after the descriptor's number.
const THREAD_NAME: &std::ffi::CStr = c"containerd-shim";

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Started by hand.
    #[error("standard input is not a listening socket: serve is for start to run")]
    NotListening,
    /// `start` always names one.
    #[error("read TTRPC_ADDRESS, containerd's event socket")]
    NoEventAddress(#[source] std::env::VarError),
    /// The process that makes all others could not be forked.
    #[error("start runtime")]
    Runtime(#[source] ballast_runtime::Error),
    /// A system call failed.
    #[error("{step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// The error.
        source: io::Error,
    },
    /// The server did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> DaemonError {
    move |source| DaemonError::Step { step, source: source.into() }
}

/// Serves until the end of the pod.
pub(super) fn run(
    identity: &Identity,
    arguments: &Arguments,
    new_services: impl FnOnce(Context) -> Services,
) -> Result<(), DaemonError> {
    let events = std::env::var(TTRPC_ADDRESS).map_err(DaemonError::NoEventAddress)?;
    let events = PathBuf::from(events.strip_prefix("unix://").unwrap_or(&events));
    // A session of its own: signals to containerd's process group are not for its shims.
    rustix::process::setsid().map_err(step("setsid"))?;
    let listener = take_listener()?;
    let log_descriptor = rustix::stdio::stderr().try_clone_to_owned().map_err(step("dup standard error"))?;
    rustix::thread::set_name(THREAD_NAME).map_err(step("prctl(PR_SET_NAME)"))?;
    ballast_runtime::sys::keep_large_allocations_apart();
    ballast_runtime::sys::keep_one_heap();
    // Before any thread exists, for a fork takes only the thread that calls it.
    let runtime = Runtime::start().map_err(DaemonError::Runtime)?;
    log::install(Sink::new(log_descriptor), arguments.level);
    // What containers' processes leave behind in the host's pid namespace is reaped here.
    set_child_subreaper(Some(getpid())).map_err(step("prctl(PR_SET_CHILD_SUBREAPER)"))?;
    let event_loop = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(BLOCKING_THREAD_KEEP_ALIVE)
        .build()
        .map_err(step("start event loop"))?;
    event_loop.block_on(serve(identity, events, listener, Arc::new(runtime), new_services))
}

async fn serve(
    identity: &Identity,
    events: PathBuf,
    listener: UnixListener,
    runtime: Arc<Runtime>,
    new_services: impl FnOnce(Context) -> Services,
) -> Result<(), DaemonError> {
    let mut signals = Signals::new().map_err(step("sigaction"))?;
    let socket = listener.local_addr().map_err(step("getsockname"))?.as_pathname().map(PathBuf::from);
    let (publisher, flusher) = Publisher::start(events, &identity.namespace);
    let context = Context {
        namespace: identity.namespace.clone(),
        id: identity.id.clone(),
        publisher,
        reaper: Reaper::start().map_err(step("sigaction(SIGCHLD)"))?,
        runtime,
        shutdown: Shutdown::new(),
    };
    let shutdown = context.shutdown.clone();
    announce_end_of_spawner(&context.runtime).map_err(step("watch the spawner"))?;
    let record = ShimRecord::of(&identity.namespace, &identity.id);
    if let Some(Err(error)) = socket.as_deref().map(|socket| record.write_socket(socket)) {
        // The pod is served all the same; an operator's command will not find it.
        tracing::warn!(error = ballast_runtime::report(&error), "record the shim's socket");
    }
    let server = server::serve(listener, new_services(context)).await?;
    tracing::info!(
        id = identity.id,
        namespace = identity.namespace,
        version = version::VERSION,
        "shim serves"
    );
    signals.until_end(&shutdown).await;
    end(&record, socket, flusher, server).await;
    Ok(())
}

/// Nobody else sees it before the next Create or Exec, which then fails. The pod runs on: its processes are the shim's
/// children, and ending them for what they may never need is for whoever reads the log to decide.
fn announce_end_of_spawner(runtime: &Runtime) -> io::Result<()> {
    let spawner = readiness::watch(runtime.spawner().pidfd().try_clone_to_owned()?, Interest::READABLE)?;
    tokio::spawn(async move {
        if spawner.readable().await.is_ok() {
            tracing::error!(
                "the spawner has ended: the pod runs on, and nothing can be started in it any more"
            );
        }
    });
    Ok(())
}

/// Record and file of the socket go first, while they are certainly ours: nobody takes the place of a shim that answers.
async fn end(record: &ShimRecord, socket: Option<PathBuf>, flusher: Flusher, server: server::RunningServer) {
    if let Err(error) = record.remove() {
        tracing::warn!(error = ballast_runtime::report(&error), "remove the shim's record");
    }
    if let Some(Err(error)) = socket.as_deref().map(std::fs::remove_file) {
        tracing::warn!(%error, "remove socket");
    }
    flusher.flush(FLUSH_BOUND).await;
    server.stop().await;
    tracing::info!("shim ends");
}

/// The listening socket that `start` left as standard input, which is closed then.
fn take_listener() -> Result<UnixListener, DaemonError> {
    let stdin = rustix::stdio::stdin();
    if !rustix::net::sockopt::socket_acceptconn(stdin).unwrap_or(false) {
        return Err(DaemonError::NotListening);
    }
    let listener = stdin.as_fd().try_clone_to_owned().map_err(step("dup standard input"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(step("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(step("dup2 to standard input"))?;
    Ok(UnixListener::from(listener))
}

/// The signals that a shim answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the shim's end. SIGUSR1 switches between the level of the start and debug.
    async fn until_end(&mut self, shutdown: &Shutdown) {
        let started_with = log::level();
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.user.recv() => {
                    let level = if log::level() == Level::Debug { started_with } else { Level::Debug };
                    log::change_level(level);
                }
            }
        }
    }
}
