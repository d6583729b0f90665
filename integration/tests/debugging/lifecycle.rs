//! `ps`, `pods`, `stop`, `rm`, `rmp`, `events` and what the handler says it can do.

use std::io::{BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::container::{Container, SCRATCH};
use ballast_integration::testbed::json::{number, text};
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::process::DEADLINE;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sh;

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&crictl(arguments)).unwrap()
}

fn state_in_ps(container: &Container) -> String {
    let listed = json_of(&["ps", "--all", "--output", "json", "--id", &container.id]);
    text(&listed, "/containers/0/state").to_owned()
}

#[test]
fn ps_and_pods_tell_every_state() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.create(json!({}));
    assert_eq!(state_in_ps(&container), "CONTAINER_CREATED");
    crictl(&["start", &container.id]);
    assert_eq!(state_in_ps(&container), "CONTAINER_RUNNING");
    assert!(crictl(&["ps", "--quiet"]).lines().any(|id| id == container.id));
    crictl(&["stop", "--timeout", "0", &container.id]);
    assert_eq!(state_in_ps(&container), "CONTAINER_EXITED");
    assert!(!crictl(&["ps", "--quiet"]).lines().any(|id| id == container.id));
    let pods = || json_of(&["pods", "--output", "json", "--id", &pod.id]);
    assert_eq!(text(&pods(), "/items/0/state"), "SANDBOX_READY");
    assert_eq!(text(&pods(), "/items/0/runtimeHandler"), node.handler());
    crictl(&["stopp", &pod.id]);
    assert_eq!(text(&pods(), "/items/0/state"), "SANDBOX_NOTREADY");
}

#[test]
fn stop_gives_the_time_it_was_told_and_no_more() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let listens =
        pod.start(sh("trap 'echo asked; exit 4' TERM; echo ready; while :; do sleep 1000 & wait $!; done"));
    listens.wait_for_log("ready");
    crictl(&["stop", "--timeout", "60", &listens.id]);
    let ended = listens.inspect();
    assert_eq!(number(&ended, "/status/exitCode"), 4);
    assert!(text(&ended, "/status/startedAt") < text(&ended, "/status/finishedAt"), "{}", ended["status"]);
    let stubborn = pod.start(json!({"image": {"image": SCRATCH}, "args": ["stubborn"]}));
    let begin = std::time::Instant::now();
    crictl(&["stop", "--timeout", "1", &stubborn.id]);
    assert!(begin.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(number(&stubborn.inspect(), "/status/exitCode"), 137);
}

#[test]
fn force_removes_what_runs() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let stubborn = pod.start(json!({"image": {"image": SCRATCH}, "args": ["stubborn"]}));
    let refused = run("crictl", &["rm", &stubborn.id]);
    assert_ne!(refused.code, Some(0), "it runs");
    let process = stubborn.process();
    crictl(&["rm", "--force", &stubborn.id]);
    process.wait();
    let other = pod.start(json!({"image": {"image": SCRATCH}, "args": ["sleep"]}));
    let (process, sandbox) = (other.process(), pod.process());
    crictl(&["rmp", "--force", &pod.id]);
    process.wait();
    sandbox.wait();
    assert!(run("crictl", &["inspect", &other.id]).stderr.contains("not found"));
}

/// A running `crictl events`.
struct Events {
    client: Child,
    events: Receiver<Value>,
}

impl Events {
    fn start() -> Self {
        let mut client = Command::new("crictl")
            .args(["events", "--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output: Box<dyn Read + Send> = Box::new(BufReader::new(client.stdout.take().unwrap()));
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for event in serde_json::Deserializer::from_reader(output).into_iter().map_while(Result::ok) {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { client, events }
    }

    /// Adds what has happened to a container to `seen` until that has happened to it.
    #[track_caller]
    fn wait_for(&self, seen: &mut Vec<(String, String)>, id: &str, kind: &str) {
        while !seen.iter().any(|(seen_id, seen_kind)| seen_id == id && seen_kind == kind) {
            let event = self
                .events
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("no {kind} of {id} in {seen:?}"));
            seen.push((
                text(&event, "/containerId").to_owned(),
                text(&event, "/containerEventType").to_owned(),
            ));
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

#[test]
fn events_come_in_order_and_once() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let events = Events::start();
    // The subscription is there when a container's life shows in it.
    let first = loop {
        let container = pod.create(json!({"image": {"image": SCRATCH}, "args": ["exit", "0"]}));
        crictl(&["rm", &container.id]);
        if let Ok(event) = events.events.try_recv() {
            break event;
        }
    };
    assert!(!text(&first, "/containerId").is_empty(), "{first}");
    // containerd watches for a container's end before it tells of the start, and tells of the end after it has noted
    // it: so they end after their start was answered, and are removed after their end was told.
    let containers: Vec<Container> =
        (0..3).map(|_| pod.start(json!({"image": {"image": SCRATCH}, "args": ["sleep"]}))).collect();
    let mut seen: Vec<(String, String)> = Vec::new();
    for container in &containers {
        container.process().signal(Signal::KILL);
    }
    for container in &containers {
        events.wait_for(&mut seen, &container.id, "CONTAINER_STOPPED_EVENT");
        crictl(&["rm", &container.id]);
        events.wait_for(&mut seen, &container.id, "CONTAINER_DELETED_EVENT");
    }
    for container in &containers {
        let kinds: Vec<&str> =
            seen.iter().filter(|(id, _)| *id == container.id).map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "CONTAINER_CREATED_EVENT",
                "CONTAINER_STARTED_EVENT",
                "CONTAINER_STOPPED_EVENT",
                "CONTAINER_DELETED_EVENT"
            ]
        );
    }
}

#[test]
fn the_handlers_features_are_known() {
    let node = Node::take();
    let info = json_of(&["info"]);
    let Some(handlers) = info.pointer("/runtimeHandlers").and_then(Value::as_array) else {
        // containerd 1.7 asks no runtime for its features.
        return;
    };
    let of = |name: &str| {
        handlers.iter().find(|handler| text(handler, "/name") == name).map(|found| &found["features"])
    };
    assert!(of(node.handler()).is_some());
    assert_eq!(of(node.handler()), of("runc"), "pods are scheduled by these");
    let driver = run("crictl", &["runtime-config"]).expect_success("runtime-config");
    assert!(driver.contains("CGROUPFS"), "{driver}");
}
