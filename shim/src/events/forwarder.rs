//! Delivers queued events to containerd one after the other. Must not know what an event says.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use containerd_shim_protos::{
    api::ForwardRequest,
    protobuf::MessageField,
    shim_async::{Client, EventsClient},
};
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    time::timeout,
};
use ttrpc::{asynchronous::transport::Socket, context};

use super::Queued;

/// An event that containerd could not be reached for stays at the head of the queue until it is this old: long
/// enough for containerd to be upgraded, and then the next event is tried.
pub const DELIVERY_BOUND: Duration = Duration::from_secs(300);
/// An event that containerd answers with an error is given up after so many answers, so that it cannot hold up
/// those behind it.
pub const REJECTION_BOUND: u32 = 5;
/// One call, from request to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("connect to containerd's event socket {}", path.display())]
    Connect { path: PathBuf, source: std::io::Error },
    #[error("forward event: {0}")]
    Unreachable(ttrpc::Error),
    #[error("containerd refused event: {0}")]
    Refused(ttrpc::Error),
}

/// The connection to containerd and the wish to stop.
pub(super) struct Forwarder {
    address: PathBuf,
    closing: watch::Receiver<bool>,
    client: Option<EventsClient>,
}

impl Forwarder {
    pub(super) fn new(address: PathBuf, closing: watch::Receiver<bool>) -> Self {
        Self { address, closing, client: None }
    }

    /// Delivers until the publisher is gone, or until a flush finds the queue empty.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Queued>) {
        loop {
            let queued = tokio::select! {
                biased;
                queued = events.recv() => queued,
                () = closed(&mut self.closing) => {
                    events.close();
                    events.recv().await
                }
            };
            match queued {
                Some(queued) => self.deliver(queued).await,
                None => return,
            }
        }
    }

    /// Tries until the event is delivered or given up. Later events wait: that is what keeps the order.
    async fn deliver(&mut self, queued: Queued) {
        let mut pause = FIRST_PAUSE;
        let mut rejections = 0;
        loop {
            let error = match self.forward(&queued).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if matches!(error, DeliveryError::Refused(_)) {
                rejections += 1;
            } else {
                self.client = None;
            }
            if rejections >= REJECTION_BOUND || age(&queued) >= DELIVERY_BOUND {
                tracing::error!(
                    topic = queued.envelope.topic,
                    id = queued.container_id,
                    error = ballast_runtime::report(&error),
                    "event lost: given up"
                );
                return;
            }
            tracing::debug!(
                topic = queued.envelope.topic,
                id = queued.container_id,
                error = ballast_runtime::report(&error),
                "event delayed"
            );
            self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn forward(&mut self, queued: &Queued) -> Result<(), DeliveryError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let request = ForwardRequest {
            envelope: MessageField::some(queued.envelope.clone()),
            ..ForwardRequest::default()
        };
        let call_timeout = i64::try_from(CALL_TIMEOUT.as_nanos()).unwrap_or(i64::MAX);
        let result = client.forward(context::with_timeout(call_timeout), &request).await;
        self.client = Some(client);
        match result {
            Ok(_) => Ok(()),
            Err(error @ ttrpc::Error::RpcStatus(_)) => Err(DeliveryError::Refused(error)),
            Err(error) => Err(DeliveryError::Unreachable(error)),
        }
    }

    async fn connect(&self) -> Result<EventsClient, DeliveryError> {
        let stream = UnixStream::connect(&self.address)
            .await
            .map_err(|source| DeliveryError::Connect { path: self.address.clone(), source })?;
        Ok(EventsClient::new(Client::new(Socket::from(stream))))
    }

    /// Waits before the next try. While flushing, the first pause is the only one: time is short then.
    async fn pause(&mut self, pause: Duration) {
        if *self.closing.borrow() {
            tokio::time::sleep_until(tokio::time::Instant::now() + FIRST_PAUSE).await;
        } else if timeout(pause, closed(&mut self.closing)).await.is_ok() {
            tracing::debug!("flushing events");
        }
    }
}

/// Resolves when a flush was asked for. A flusher that was dropped without a flush never ends the queue.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn age(queued: &Queued) -> Duration {
    let stamped = SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(queued.envelope.timestamp.seconds).unwrap_or_default());
    // A clock that was set back makes an event look young, never old.
    SystemTime::now().duration_since(stamped).unwrap_or_default()
}
