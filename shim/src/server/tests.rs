use std::os::unix::net::UnixStream;

use async_trait::async_trait;
use containerd_shim_protos::{
    api::{CreateTaskRequest, CreateTaskResponse, Empty, ShutdownRequest, WaitRequest, WaitResponse},
    shim_async::{Client, TaskClient},
};
use tokio::sync::Semaphore;
use ttrpc::{
    Code,
    asynchronous::{TtrpcContext, transport::Socket},
    context,
};

use super::*;

/// A service whose bodies stop half-way until they are let on.
struct Halting {
    started: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
    finished: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
    shutdown: Shutdown,
}

/// A service that has none of its methods.
struct NoPod;

impl Pod for NoPod {}

struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[async_trait]
impl Task for Halting {
    async fn create(&self, _: &TtrpcContext, _: CreateTaskRequest) -> ttrpc::Result<CreateTaskResponse> {
        self.started.add_permits(1);
        self.go_on.acquire().await.unwrap().forget();
        self.finished.add_permits(1);
        Ok(CreateTaskResponse { pid: 42, ..CreateTaskResponse::default() })
    }

    async fn wait(&self, _: &TtrpcContext, _: WaitRequest) -> ttrpc::Result<WaitResponse> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Counted(self.waiting.clone());
        std::future::pending().await
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        self.shutdown.request();
        Ok(Empty::new())
    }
}

struct Served {
    _directory: tempfile::TempDir,
    path: std::path::PathBuf,
    server: RunningServer,
    started: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
    finished: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
    shutdown: Shutdown,
}

async fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (go_on, finished) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let started = Arc::new(Semaphore::new(0));
    let (waiting, shutdown) = (watch::Sender::new(0), Shutdown::new());
    let task = Halting {
        started: Arc::clone(&started),
        go_on: Arc::clone(&go_on),
        finished: Arc::clone(&finished),
        waiting: waiting.clone(),
        shutdown: shutdown.clone(),
    };
    let services = Services { task: Arc::new(task), pod: Arc::new(NoPod) };
    let server = serve(UnixListener::bind(&path).unwrap(), services).await.unwrap();
    Served { _directory: directory, path, server, started, go_on, finished, waiting, shutdown }
}

impl Served {
    fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.path).unwrap();
        Client::new(Socket::try_from(stream).unwrap())
    }
}

#[tokio::test]
async fn the_service_answers_to_both_of_its_names() {
    let served = served().await;
    served.go_on.add_permits(2);
    let client = served.client();
    for service in [TASK_V2, TASK_V3] {
        let request =
            ttrpc::Request { service: service.into(), method: "Create".into(), ..Default::default() };
        assert_eq!(client.request(request).await.unwrap().payload, [8, 42], "{service}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_unimplemented() {
    let served = served().await;
    let request = ttrpc::Request { service: TASK_V3.into(), method: "Levitate".into(), ..Default::default() };
    let Err(ttrpc::Error::RpcStatus(status)) = served.client().request(request).await else {
        panic!("no status")
    };
    assert_eq!(status.code.enum_value().unwrap(), Code::UNIMPLEMENTED);
}

#[tokio::test]
async fn a_body_runs_to_its_end_after_its_callers_deadline() {
    let served = served().await;
    let client = TaskClient::new(served.client());
    while served.started.available_permits() == 0 {
        let deadline = context::with_timeout(20_000_000);
        client.create(deadline, &CreateTaskRequest::default()).await.expect_err("the body waits");
    }
    served.go_on.add_permits(1);
    served.finished.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_body_runs_to_its_end_after_its_connection_closed() {
    let served = served().await;
    let client = TaskClient::new(served.client());
    let create =
        tokio::spawn(
            async move { client.create(context::with_timeout(0), &CreateTaskRequest::default()).await },
        );
    served.started.acquire().await.unwrap().forget();
    create.abort();
    served.server.connections.all_closed().await;
    served.go_on.add_permits(1);
    served.finished.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_wait_ends_with_its_connection() {
    let served = served().await;
    let client = TaskClient::new(served.client());
    let wait =
        tokio::spawn(async move { client.wait(context::with_timeout(0), &WaitRequest::default()).await });
    served.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();
    wait.abort();
    served.waiting.subscribe().wait_for(|waiting| *waiting == 0).await.unwrap();
}

#[tokio::test]
async fn the_answer_to_shutdown_arrives_before_the_connection_closes() {
    let served = served().await;
    let client = TaskClient::new(served.client());
    let answer =
        tokio::spawn(async move { client.shutdown(context::with_timeout(0), &Default::default()).await });
    served.shutdown.requested().await;
    served.server.stop().await;
    answer.await.unwrap().unwrap();
}
