//! Delivers queued events to containerd one after the other. Must not know what an event says.

use std::{
    path::PathBuf,
    pin::pin,
    time::{Duration, SystemTime},
};

use containerd_shim_protos::{
    api::ForwardRequest,
    protobuf::MessageField,
    shim_async::{Client, EventsClient},
};
use tokio::{
    io::BufReader,
    net::UnixStream,
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use ttrpc::{asynchronous::transport, context};

use super::Queued;
use crate::socket::Socket;

/// An event that containerd could not be reached for stays at the head of the queue until it is this old: long
/// enough for containerd to be upgraded, and then the next event is tried.
pub const DELIVERY_BOUND: Duration = Duration::from_secs(300);
/// An event that containerd answers with an error is given up after so many answers, so that it cannot hold up
/// those behind it.
pub const REJECTION_BOUND: u32 = 5;
/// An answer is empty but for its header and status, which are read one after the other.
const ANSWER_BYTES: usize = 512;
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
    closing: watch::Receiver<Option<Instant>>,
    client: Option<EventsClient>,
}

impl Forwarder {
    pub(super) fn new(address: PathBuf, closing: watch::Receiver<Option<Instant>>) -> Self {
        Self { address, closing, client: None }
    }

    /// Delivers until the publisher is gone, or a flush has found the queue empty or its time over.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Queued>) {
        let mut flushing = self.closing.clone();
        let mut over = pin!(over(self.closing.clone()));
        loop {
            let queued = tokio::select! {
                biased;
                queued = events.recv() => queued,
                _ = flush_deadline(&mut flushing) => {
                    events.close();
                    events.recv().await
                }
            };
            let Some(queued) = queued else { return };
            let delivered = tokio::select! {
                () = self.deliver(&queued) => true,
                () = &mut over => false,
            };
            if !delivered {
                events.close();
                let left = std::iter::from_fn(|| events.try_recv().ok());
                std::iter::once(queued).chain(left).for_each(|queued| lost(&queued, "the shim ends"));
                return;
            }
        }
    }

    /// Tries until the event is delivered or given up. Later events wait: that is what keeps the order.
    async fn deliver(&mut self, queued: &Queued) {
        let mut pause = FIRST_PAUSE;
        let mut rejections = 0;
        loop {
            let error = match self.forward(queued).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if matches!(error, DeliveryError::Refused(_)) {
                rejections += 1;
            } else {
                self.client = None;
            }
            if rejections >= REJECTION_BOUND || age(queued) >= DELIVERY_BOUND {
                lost(queued, &ballast_runtime::report(&error));
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
        let stream = UnixStream::connect(&self.address).await.and_then(UnixStream::into_std);
        let stream = stream
            .and_then(|stream| Socket::new(stream.into()))
            .map_err(|source| DeliveryError::Connect { path: self.address.clone(), source })?;
        let stream = BufReader::with_capacity(ANSWER_BYTES, stream);
        Ok(EventsClient::new(Client::new(transport::Socket::new(stream))))
    }

    /// Waits before the next try. A flush cuts the wait short, and those after it are short: time is then.
    async fn pause(&mut self, pause: Duration) {
        if self.closing.borrow().is_some() {
            tokio::time::sleep_until(Instant::now() + FIRST_PAUSE).await;
        } else if timeout(pause, flush_deadline(&mut self.closing)).await.is_ok() {
            tracing::debug!("flushing events");
        }
    }
}

/// Resolves when a flush was asked for, with its deadline. A flusher that was dropped without a flush never ends the
/// queue.
async fn flush_deadline(closing: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match closing.wait_for(Option::is_some).await.map(|deadline| *deadline) {
        Ok(Some(deadline)) => deadline,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// Resolves when the time of a flush is over.
async fn over(mut closing: watch::Receiver<Option<Instant>>) {
    let deadline = flush_deadline(&mut closing).await;
    tokio::time::sleep_until(deadline).await;
}

fn lost(queued: &Queued, reason: &str) {
    tracing::error!(topic = queued.envelope.topic, id = queued.container_id, reason, "event lost");
}

fn age(queued: &Queued) -> Duration {
    let stamped = SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(queued.envelope.timestamp.seconds).unwrap_or_default());
    // A clock that was set back makes an event look young, never old.
    SystemTime::now().duration_since(stamped).unwrap_or_default()
}
