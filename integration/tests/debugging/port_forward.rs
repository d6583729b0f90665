//! `crictl port-forward`: real data, several connections, a port where nobody listens, a pod that goes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;

use ballast_integration::testbed::command::crictl;
use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::pod::Pod;
use serde_json::json;

use crate::sh;

const BYTES: usize = 10_000_000;
const CONNECTIONS: u8 = 3;

/// A forwarded port.
struct Forward {
    client: Child,
    /// Open for the client's next words.
    _output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
    port: u16,
}

impl Forward {
    fn to(pod: &Pod, port: u16) -> Self {
        let mut client = Command::new("crictl")
            .args(["port-forward", &pod.id, &format!("0:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(client.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let chosen = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        let errors = BufReader::new(client.stderr.take().unwrap());
        Self {
            client,
            _output: output,
            errors,
            port: chosen.unwrap_or_else(|| panic!("no port in {line:?}")),
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Reads what the client complains about until it has said `text`.
    #[track_caller]
    fn wait_for_error(&mut self, text: &str) {
        let mut said = String::new();
        while !said.contains(text) {
            let length = self.errors.read_line(&mut said).unwrap();
            assert_ne!(length, 0, "no {text:?} in {said}");
        }
    }
}

/// A container that sends back what port 8080 receives; it listens.
fn echo_server(pod: &Pod) -> Container {
    let container = pod.start(sh("exec nc -ll -p 8080 -e cat"));
    // 0A: it listens. The kernel tells nobody when that begins.
    let listens = "until grep -qs ':1F90 0*:0000 0A ' /proc/net/tcp /proc/net/tcp6; do usleep 10000; done";
    container.exec(&["sh", "-c", listens]);
    container
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

#[test]
fn every_connection_gets_its_own_bytes_back() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = echo_server(&pod);
    let forward = Forward::to(&pod, 8080);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut back = forward.connect();
            let mut there = back.try_clone().unwrap();
            let data: Vec<u8> = (0..BYTES).map(|index| (index / 7 + index / 1000) as u8 ^ number).collect();
            let sent = data.clone();
            let writer = thread::spawn(move || {
                there.write_all(&sent).unwrap();
                there
            });
            thread::spawn(move || {
                let mut received = vec![0; BYTES];
                back.read_exact(&mut received).unwrap();
                let there = writer.join().unwrap();
                there.shutdown(Shutdown::Both).unwrap();
                assert!(received == data, "connection {number} got other bytes");
            })
        })
        .collect();
    for connection in connections {
        connection.join().unwrap();
    }
    drop(forward);
    crictl(&["stop", "--timeout", "0", &container.id]);
}

#[test]
fn a_port_where_nobody_listens_is_refused_and_named() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mut forward = Forward::to(&pod, 4242);
    let mut connection = forward.connect();
    let _closed = connection.read(&mut [0; 16]);
    forward.wait_for_error("4242");
    // crictl gives the whole forward up.
    forward.client.wait().unwrap();
}

#[test]
fn a_forward_ends_with_its_pod() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = echo_server(&pod);
    let process = container.process();
    let mut forward = Forward::to(&pod, 8080);
    crictl(&["stopp", &pod.id]);
    process.wait();
    let mut connection = forward.connect();
    assert_eq!(connection.read(&mut [0; 16]).unwrap_or(0), 0);
    forward.wait_for_error("error");
    forward.client.wait().unwrap();
}
