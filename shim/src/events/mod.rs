//! Events for containerd: one ordered queue and the task that forwards it.
//!
//! Order is the contract: what is published first is delivered first, whatever fails in between. Must not know
//! what a task or a container is.

mod forwarder;
mod topics;

use std::{path::PathBuf, sync::Arc, time::Duration};

use containerd_shim_protos::{
    protobuf::{
        MessageField,
        well_known_types::{any::Any, timestamp::Timestamp},
    },
    shim::event::Envelope,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use self::forwarder::Forwarder;
pub use self::{
    forwarder::{DELIVERY_BOUND, REJECTION_BOUND},
    topics::Event,
};

/// Events that wait for containerd at most. One more is lost, and the loss is logged.
pub const QUEUE_LENGTH: usize = 2048;

/// Publishes events in order, without ever blocking the caller. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Publisher {
    namespace: Arc<str>,
    queue: mpsc::Sender<Queued>,
}

/// Ends forwarding; held by whoever ends the shim.
#[derive(Debug)]
pub struct Flusher {
    closing: watch::Sender<Option<Instant>>,
    forwarder: JoinHandle<()>,
}

/// An event on its way, with the name that the log uses if it gets lost.
#[derive(Debug)]
struct Queued {
    envelope: Envelope,
    container_id: String,
}

impl Publisher {
    /// Starts the forwarder on the current tokio runtime. Events go to containerd's ttrpc socket at `address`.
    pub fn start(address: PathBuf, namespace: &str) -> (Self, Flusher) {
        let (queue, events) = mpsc::channel(QUEUE_LENGTH);
        let (closing, closed) = watch::channel(None);
        let forwarder = tokio::spawn(Forwarder::new(address, closed).run(events));
        (Self { namespace: namespace.into(), queue }, Flusher { closing, forwarder })
    }

    /// Queues `event` for containerd, stamped with the present time.
    pub fn publish<E: Event>(&self, event: E) {
        let queued = match self.envelope(&event) {
            Ok(envelope) => Queued { envelope, container_id: event.container_id().to_owned() },
            Err(error) => {
                tracing::error!(topic = E::TOPIC, id = event.container_id(), %error, "event lost: cannot be encoded");
                return;
            }
        };
        if let Err(error) = self.queue.try_send(queued) {
            tracing::error!(topic = E::TOPIC, id = event.container_id(), %error, "event lost: queue");
        }
    }

    fn envelope<E: Event>(&self, event: &E) -> Result<Envelope, containerd_shim_protos::protobuf::Error> {
        let value = event.write_to_bytes()?;
        // The bare name, as containerd's typeurl writes it. Not from the descriptor: reflection would build the
        // tables of every message file in the memory of every pod's shim.
        let type_url = format!("containerd.events.{}", E::NAME);
        Ok(Envelope {
            timestamp: MessageField::some(Timestamp::now()),
            namespace: self.namespace.as_ref().to_owned(),
            topic: E::TOPIC.to_owned(),
            event: MessageField::some(Any { type_url, value, ..Any::default() }),
            ..Envelope::default()
        })
    }
}

impl Flusher {
    /// Delivers what is queued, for at most `deadline`; what is left then is logged as lost. Events published
    /// after this call are lost too.
    pub async fn flush(self, deadline: Duration) {
        self.closing.send_replace(Some(Instant::now() + deadline));
        if let Err(error) = self.forwarder.await {
            tracing::error!(%error, "events lost");
        }
    }
}

#[cfg(test)]
mod tests;
