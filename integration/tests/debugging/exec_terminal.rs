//! `crictl exec -it`: a shell for a person.

use ballast_integration::testbed::container::Container;
use ballast_integration::testbed::node::Node;
use ballast_integration::testbed::terminal::Terminal;
use serde_json::json;

fn exec(container: &Container, command: &[&str]) -> Terminal {
    Terminal::run("crictl", &[&["exec", "-it", &container.id], command].concat(), 24, 80)
}

#[test]
fn a_terminal_follows_its_window() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    // The first size comes after the start, from crictl.
    let script = "for size in '24 80' '50 132'; do until stty size | grep \"$size\"; do :; done; done";
    let mut terminal = exec(&container, &["sh", "-c", script]);
    terminal.read_until("24 80");
    terminal.resize(50, 132);
    terminal.read_until("50 132");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn control_keys_are_for_the_foreground_job() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let mut terminal = exec(&container, &["sh"]);
    // The job itself tells that it has the foreground, and is past what a shell does in its place.
    let begin_job = |terminal: &mut Terminal| {
        terminal.type_in("awk 'BEGIN { print \"be\" \"gin\"; getline }'\n");
        terminal.read_until("begin\r\n");
    };
    for (key, code) in [("\u{3}", 128 + 2), ("\u{1c}", 128 + 3)] {
        begin_job(&mut terminal);
        terminal.type_in(key);
        // The shell asks for more when its job has ended.
        terminal.read_until("# ");
        terminal.type_in("echo co''de $?\n");
        terminal.read_until(&format!("code {code}"));
        terminal.read_until("# ");
    }
    begin_job(&mut terminal);
    terminal.type_in("\u{1a}");
    terminal.read_until("Stopped");
    terminal.read_until("# ");
    terminal.type_in("jobs; echo li''sted\n");
    let shown = terminal.read_until("listed");
    assert!(shown.contains("Stopped") && shown.contains("awk"), "{shown:?}");
    terminal.type_in("kill -KILL %1; echo kil''led\n");
    terminal.read_until("killed");
    terminal.kill();
    // The end of input ends a shell that has no jobs.
    let mut terminal = exec(&container, &["sh"]);
    terminal.read_until("# ");
    terminal.type_in("\u{4}");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn the_exit_code_on_a_terminal_is_the_commands() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    container.exec(&["sh", "-c", "echo text > /tmp/data"]);
    for (script, code) in [
        ("exit 0", None),
        ("exit 1", Some(1)),
        ("no-such-command", Some(127)),
        ("/tmp/data", Some(126)),
        ("kill -KILL $$", Some(137)),
        ("kill -TERM $$", Some(143)),
    ] {
        let (shown, own) = exec(&container, &["sh", "-c", script]).read_to_end();
        match code {
            None => assert_eq!(own, Some(0), "{script}: {shown:?}"),
            Some(code) => {
                let text = format!("command terminated with exit code {code}");
                assert!(shown.contains(&text), "{script}: {shown:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_executed_is_told_on_the_terminal() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let (shown, code) = exec(&container, &["no-such-command"]).read_to_end();
    assert_eq!(code, Some(1));
    assert!(shown.contains("exec: \"no-such-command\": executable file not found in $PATH"), "{shown:?}");
}

#[test]
fn a_terminal_loses_nothing_of_what_is_larger_than_its_buffer() {
    const LINES: u32 = 30_000;
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let (shown, code) = exec(&container, &["seq", &LINES.to_string()]).read_to_end();
    assert_eq!(code, Some(0));
    let numbers = shown.split_ascii_whitespace().map(|word| word.parse::<u32>().unwrap());
    assert!(numbers.eq(1..=LINES), "{} bytes", shown.len());
}

#[test]
fn a_terminal_that_nobody_reads_holds_up_nobody_else() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let mut terminal = exec(&container, &["sh", "-c", "echo be''gin; exec yes 'a line'"]);
    terminal.read_until("begin");
    assert_eq!(container.exec(&["echo", "beside it"]), "beside it");
    let (shown, _) = exec(&container, &["echo", "on another terminal"]).read_to_end();
    assert!(shown.contains("on another terminal"), "{shown:?}");
    terminal.kill();
    assert_eq!(container.exec(&["echo", "after it"]), "after it");
}

#[test]
fn a_child_that_keeps_the_terminal_does_not_keep_its_client() {
    let mut node = Node::take();
    let pod = node.pod(json!({}));
    let container = pod.start(json!({}));
    let script = "trap '' HUP; sleep 1000 & echo left behind";
    let (shown, code) = exec(&container, &["sh", "-c", script]).read_to_end();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(shown.contains("left behind"), "{shown:?}");
    assert_eq!(container.cgroup_file("cgroup.procs").lines().count(), 2, "the child lives on");
}
