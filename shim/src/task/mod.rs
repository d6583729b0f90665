//! The Task service. Must not know how requests arrive.

use async_trait::async_trait;
use containerd_shim_protos::{
    api::{ConnectRequest, ConnectResponse, Empty, ShutdownRequest},
    shim_async::Task,
};
use ttrpc::asynchronous::TtrpcContext;

use crate::{server::Context, version};

/// The tasks of one pod.
#[derive(Debug)]
pub struct TaskService {
    context: Context,
}

impl TaskService {
    /// A pod without tasks.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

#[async_trait]
impl Task for TaskService {
    async fn connect(&self, _: &TtrpcContext, _: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        let shim_pid = std::process::id();
        Ok(ConnectResponse { shim_pid, version: version::VERSION.to_owned(), ..ConnectResponse::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        self.context.shutdown.request();
        Ok(Empty::new())
    }
}
