//! `crictl attach`: more than one person at a container's streams, coming and going.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::terminal::Terminal;
use serde_json::{Value, json};

use crate::sh;

/// A client of a container's streams.
struct Attached {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Attached {
    fn to(container: &Container) -> Self {
        let mut client = Command::new("crictl")
            .args(["attach", "-i", &container.id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = client.stdin.take().unwrap();
        let output = BufReader::new(client.stdout.take().unwrap());
        Self { client, input, output }
    }

    fn write(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn read(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the client ended");
        line.trim_end().to_owned()
    }

    fn kill(mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

/// A container that answers every line, and says when its input has ended.
fn echo() -> Value {
    let mut differences = sh("while read line; do echo you said $line; done; echo input ended; exit 5");
    differences["stdin"] = json!(true);
    differences
}

#[test]
fn a_container_outlives_its_clients_and_meets_the_next() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(echo());
    for word in ["one", "two", "three"] {
        let mut client = Attached::to(&container);
        client.write(word);
        assert_eq!(client.read(), format!("you said {word}"));
        client.kill();
        assert_eq!(container.state(), "CONTAINER_RUNNING", "after {word}");
    }
    // The end of a client's input is not the end of the container's.
    let mut client = Attached::to(&container);
    client.write("four");
    assert_eq!(client.read(), "you said four");
    drop(client.input);
    client.client.kill().unwrap();
    client.client.wait().unwrap();
    let mut last = Attached::to(&container);
    last.write("five");
    assert_eq!(last.read(), "you said five");
    last.kill();
    // A client and the log are served one after the other, in no order.
    container.wait_for_log("you said five");
    let logs = container.logs();
    let answers: Vec<&str> = logs.lines().collect();
    assert_eq!(answers, ["one", "two", "three", "four", "five"].map(|word| format!("you said {word}")));
}

#[test]
fn two_clients_see_the_same_output() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(echo());
    let mut clients = [Attached::to(&container), Attached::to(&container)];
    // Each client has shown that it is attached when its own word comes back to it.
    for (index, word) in [(0, "first"), (1, "second")] {
        clients[index].write(word);
        while clients[index].read() != format!("you said {word}") {}
    }
    clients[0].write("for both");
    for client in &mut clients {
        while client.read() != "you said for both" {}
    }
    let [first, mut second] = clients;
    first.kill();
    second.write("alone");
    assert_eq!(second.read(), "you said alone");
    second.kill();
}

#[test]
fn input_that_comes_once_ends_with_its_first_client() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let mut differences = echo();
    differences["stdin_once"] = json!(true);
    let container = pod.start(differences);
    let mut client = Attached::to(&container);
    client.write("once");
    assert_eq!(client.read(), "you said once");
    drop(client.input);
    let mut line = String::new();
    client.output.read_line(&mut line).unwrap();
    assert_eq!(line, "input ended\n");
    client.client.wait().unwrap();
    assert_eq!(container.exit_code(), 5);
}

#[test]
fn an_attached_terminal_follows_its_window_and_can_be_left() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({"command": ["sh"], "tty": true, "stdin": true}));
    let mut terminal = Terminal::run("crictl", &["attach", "-it", &container.id], 24, 80);
    terminal.type_in("until stty size | grep '24 80'; do :; done; echo be''gin\n");
    terminal.read_until("begin");
    terminal.resize(50, 132);
    terminal.type_in("until stty size | grep '50 132'; do :; done; echo follo''wed\n");
    terminal.read_until("followed");
    terminal.kill();
    assert_eq!(container.state(), "CONTAINER_RUNNING");
    let mut again = Terminal::run("crictl", &["attach", "-it", &container.id], 30, 90);
    again.type_in("until stty size | grep '30 90'; do :; done; echo same shell $$; exit 7\n");
    again.read_until("same shell 1");
    again.read_to_end();
    assert_eq!(container.exit_code(), 7);
}
