//! Lets every request's body run to its end. Must not know what a body does.
//!
//! ttrpc drops a handler's future when the caller's deadline passes or its connection closes. Half a Create would
//! leave processes, mounts and a cgroup that nobody knows of.

use std::{collections::HashMap, future::poll_fn, sync::Arc, task::Poll};

use async_trait::async_trait;
use ttrpc::{
    Code, Request, Response,
    asynchronous::{MethodHandler, Service, TtrpcContext},
};

/// Methods that only wait: dropped with their callers, or each restart of containerd would leave one behind.
const WAITING: [&str; 2] = ["Wait", "WaitSandbox"];

struct Detached(Arc<dyn MethodHandler + Send + Sync>);

#[async_trait]
impl MethodHandler for Detached {
    async fn handler(&self, context: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let handler = Arc::clone(&self.0);
        let mut body = Box::pin(async move { handler.handler(context, request).await });
        // Most bodies end at the first go, and then neither a task nor the timer of the caller's deadline is made: containerd
        // asks for the state nine times in an exec.
        if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(body.as_mut().poll(context))).await {
            return result;
        }
        match tokio::spawn(body).await {
            Ok(result) => result,
            Err(error) => Err(ttrpc::Error::RpcStatus(ttrpc::get_status(Code::INTERNAL, error))),
        }
    }
}

/// The same service, each of its methods (but those that only wait) on a task of its own once it has to wait.
pub fn detached(service: Service) -> Service {
    let methods: HashMap<_, _> = service
        .methods
        .into_iter()
        .map(|(name, handler)| {
            let handler: Box<dyn MethodHandler + Send + Sync> = if WAITING.contains(&name.as_str()) {
                handler
            } else {
                Box::new(Detached(Arc::from(handler)))
            };
            (name, handler)
        })
        .collect();
    Service { methods, streams: service.streams }
}
