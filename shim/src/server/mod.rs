//! The ttrpc server of one pod: containerd's Task service under its v2 and v3 names, and Ballast's own, on one socket.
//!
//! Must not know what the services do.

mod connections;
mod detached;

use std::{collections::HashMap, os::unix::net::UnixListener, sync::Arc, time::Duration};

use ballast_proto::{Pod, create_pod};
use containerd_shim_protos::shim_async::{Task, create_task};
use tokio::sync::watch;
use ttrpc::asynchronous::{Server, Service, transport::Listener};

use self::connections::{OpenConnections, SameUserConnections};
pub use self::detached::detached;
use crate::{events::Publisher, reaper::Reaper};

/// The Task service's name for containerd 2.3 and newer, and whoever was told version 3.
pub const TASK_V3: &str = "containerd.task.v3.Task";
/// Its name for containerd 1.7, and for 2.x that was told version 2. The messages are identical.
pub const TASK_V2: &str = "containerd.task.v2.Task";

/// How long peers may take to close their connections once the shim ends: the answer to the Shutdown request is
/// still on its way.
const CLOSE_BOUND: Duration = Duration::from_secs(1);

/// What a service needs of the shim around it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The containerd namespace that this shim serves.
    pub namespace: String,
    /// The id that the shim was started for: that of the pod's sandbox, or of a container by itself.
    pub id: String,
    /// Where events go.
    pub publisher: Publisher,
    /// Where exits come from.
    pub reaper: Reaper,
    /// Makes containers.
    pub runtime: Arc<ballast_runtime::Runtime>,
    /// Ends the shim.
    pub shutdown: Shutdown,
}

/// The wish to end the shim. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// Nobody has asked yet.
    #[expect(clippy::new_without_default, reason = "a second one by default would never end anything")]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks the shim to end, after the answers that are under way.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Resolves once the end was asked for.
    pub async fn requested(&self) {
        // Cannot fail: this is itself a sender.
        if self.0.subscribe().wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why the server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The inherited socket cannot be used.
    #[error("{step} of the inherited socket")]
    Socket {
        /// The call that failed.
        step: &'static str,
        /// Its error.
        source: std::io::Error,
    },
    /// ttrpc refused to start.
    #[error("start ttrpc server")]
    Start(#[source] ttrpc::Error),
}

/// A server that accepts requests.
pub struct RunningServer {
    server: Server,
    connections: OpenConnections,
}

impl std::fmt::Debug for RunningServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RunningServer")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// What is served.
pub struct Services {
    /// For containerd.
    pub task: Arc<dyn Task + Send + Sync>,
    /// For the operator's command.
    pub pod: Arc<dyn Pod + Send + Sync>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Serves `services` on `listener`, to peers of the shim's own uid.
///
/// # Errors
/// When the listener is not a listening socket.
pub async fn serve(listener: UnixListener, services: Services) -> Result<RunningServer, ServerError> {
    let socket_error = |step| move |source| ServerError::Socket { step, source };
    listener.set_nonblocking(true).map_err(socket_error("fcntl(O_NONBLOCK)"))?;
    let connections = OpenConnections::default();
    let accepted =
        SameUserConnections::new(listener, connections.clone()).map_err(socket_error("epoll_ctl"))?;
    let mut server = Server::new().add_listener(Listener::new(accepted)).register_service(methods(services));
    server.start().await.map_err(ServerError::Start)?;
    Ok(RunningServer { server, connections })
}

impl RunningServer {
    /// Takes no new connections, lets peers receive the last answers and close, then ends.
    pub async fn stop(mut self) {
        self.server.stop_listen().await;
        if tokio::time::timeout(CLOSE_BOUND, self.connections.all_closed()).await.is_err() {
            tracing::debug!("ending with open connections");
        }
        self.server.disconnect().await;
    }
}

/// The services by name, the Task service by both of its names; their bodies detached from the requests that started them.
fn methods(Services { task, pod }: Services) -> HashMap<String, Service> {
    let v3 = create_task(Arc::clone(&task));
    let v2 = create_task(task).into_values().map(|service| (TASK_V2.to_owned(), service));
    let all = v3.into_iter().chain(v2).chain(create_pod(pod));
    all.map(|(name, service)| (name, detached(service))).collect()
}

#[cfg(test)]
mod tests;
