use std::{
    collections::VecDeque,
    path::Path,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use containerd_shim_protos::{
    api::{Empty, ForwardRequest},
    events::task::{TaskExit, TaskStart},
    protobuf::Message,
    shim_async::{Events, create_events},
};
use tokio::{net::UnixListener, sync::mpsc};
use ttrpc::{
    Code,
    asynchronous::{Server, TtrpcContext, transport::Listener},
};

use super::*;

/// containerd's side: passes on what it accepts, after the answers it was told to give first.
struct Containerd {
    accepted: mpsc::UnboundedSender<Envelope>,
    refusals: Mutex<VecDeque<Code>>,
}

#[async_trait]
impl Events for Containerd {
    async fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
        if let Some(code) = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            return Err(ttrpc::Error::RpcStatus(ttrpc::get_status(code, "not now")));
        }
        self.accepted.send(request.envelope.unwrap_or_default()).unwrap();
        Ok(Empty::new())
    }
}

type Accepted = mpsc::UnboundedReceiver<Envelope>;

async fn containerd(socket: &Path, refusals: impl IntoIterator<Item = Code>) -> (Server, Accepted) {
    let (accepted, events) = mpsc::unbounded_channel();
    let service = Containerd { accepted, refusals: Mutex::new(refusals.into_iter().collect()) };
    if socket.exists() {
        std::fs::remove_file(socket).unwrap();
    }
    let listener = UnixListener::bind(socket).unwrap();
    let mut server = Server::new()
        .add_listener(Listener::from(listener))
        .register_service(create_events(Arc::new(service)));
    server.start().await.unwrap();
    (server, events)
}

fn start(pid: u32) -> TaskStart {
    TaskStart { container_id: "c".into(), pid, ..TaskStart::default() }
}

fn pid_of(envelope: &Envelope) -> u32 {
    TaskStart::parse_from_bytes(&envelope.event.value).unwrap().pid
}

#[tokio::test]
async fn an_event_arrives_with_its_topic_type_and_namespace() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let (_server, mut events) = containerd(&socket, []).await;
    let (publisher, _flusher) = Publisher::start(socket, "k8s.io");
    publisher.publish(TaskExit { container_id: "c".into(), exit_status: 3, ..TaskExit::default() });
    let envelope = events.recv().await.unwrap();
    assert_eq!((envelope.topic.as_str(), envelope.namespace.as_str()), ("/tasks/exit", "k8s.io"));
    assert_eq!(envelope.event.type_url, "containerd.events.TaskExit");
    assert!(envelope.timestamp.seconds > 0);
    assert_eq!(TaskExit::parse_from_bytes(&envelope.event.value).unwrap().exit_status, 3);
}

#[tokio::test]
async fn order_holds_when_containerd_refuses_and_comes_up_late() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let (publisher, _flusher) = Publisher::start(socket.clone(), "n");
    for pid in 0..50 {
        publisher.publish(start(pid));
    }
    let (_server, mut events) = containerd(&socket, [Code::UNAVAILABLE, Code::INTERNAL]).await;
    for pid in 0..50 {
        assert_eq!(pid_of(&events.recv().await.unwrap()), pid);
    }
}

#[tokio::test]
async fn events_reach_a_containerd_that_was_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let (mut server, mut events) = containerd(&socket, []).await;
    let (publisher, _flusher) = Publisher::start(socket.clone(), "n");
    publisher.publish(start(1));
    assert_eq!(pid_of(&events.recv().await.unwrap()), 1);
    server.shutdown().await.unwrap();
    drop(server);
    let (_server, mut events) = containerd(&socket, []).await;
    publisher.publish(start(2));
    assert_eq!(pid_of(&events.recv().await.unwrap()), 2);
}

#[tokio::test]
async fn an_event_that_is_always_refused_is_given_up_and_the_next_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let refusals = std::iter::repeat_n(Code::INVALID_ARGUMENT, REJECTION_BOUND as usize);
    let (_server, mut events) = containerd(&socket, refusals).await;
    let (publisher, _flusher) = Publisher::start(socket, "n");
    publisher.publish(start(1));
    publisher.publish(start(2));
    assert_eq!(pid_of(&events.recv().await.unwrap()), 2);
}

#[tokio::test]
async fn a_flush_delivers_everything_that_was_published() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let (_server, mut events) = containerd(&socket, []).await;
    let (publisher, flusher) = Publisher::start(socket, "n");
    for pid in 0..100 {
        publisher.publish(start(pid));
    }
    flusher.flush(Duration::from_secs(30)).await;
    let delivered: Vec<u32> =
        std::iter::from_fn(|| events.try_recv().ok()).map(|event| pid_of(&event)).collect();
    assert_eq!(delivered, Vec::from_iter(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_at_its_deadline_when_containerd_is_away() {
    let (publisher, flusher) = Publisher::start("/nonexistent/socket".into(), "n");
    publisher.publish(start(1));
    let before = tokio::time::Instant::now();
    flusher.flush(Duration::from_secs(2)).await;
    let taken = before.elapsed();
    assert!(taken >= Duration::from_secs(2) && taken < Duration::from_secs(3), "{taken:?}");
}

#[tokio::test]
async fn a_full_queue_loses_the_newest_and_never_blocks() {
    let (publisher, _flusher) = Publisher::start("/nonexistent/socket".into(), "n");
    for pid in 0..u32::try_from(QUEUE_LENGTH).unwrap() + 10 {
        publisher.publish(start(pid));
    }
    assert_eq!(publisher.queue.capacity(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_answered_is_sent_again_on_a_new_connection() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    // Takes connections, and says nothing.
    let silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (publisher, _flusher) = Publisher::start(socket.clone(), "n");
    publisher.publish(start(1));
    publisher.publish(start(2));
    let taken = tokio::task::spawn_blocking(move || silent.accept().unwrap().0).await.unwrap();
    let (_server, mut events) = containerd(&socket, []).await;
    assert_eq!(pid_of(&events.recv().await.unwrap()), 1);
    assert_eq!(pid_of(&events.recv().await.unwrap()), 2);
    drop(taken);
}
