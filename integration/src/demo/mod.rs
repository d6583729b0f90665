//! `cargo xtask demo`: one pod's life on Ballast, driven with crictl and told as a short story.
//!
//! Every line is what a command answered on the node, and each is checked: the demo fails where Ballast does. Knows crictl
//! and what a person expects of it, nothing of Ballast's inside.

mod footprint;
mod story;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::node::Node;
use crate::node::protocol::WindowSize;
use footprint::Footprint;
use story::Story;

const IMAGE: &str = "ballast.dev/test/debian:latest";
const POD_CONFIG: &str = "/run/demo-pod.json";

/// CRI's `NamespaceMode` as kubelet sends it for pods that do not share their processes.
const PID_PER_CONTAINER: i32 = 1;

/// Tells the story on standard output.
///
/// # Errors
/// The first thing that was not as it should be.
pub fn run(node: &Node) -> Result<()> {
    let begin = Instant::now();
    let before = Footprint::of(node)?;
    introduce(node)?;
    let mut story = Story::new(node);
    let pod = run_pod(&mut story)?;
    let worker = start_worker(&mut story, &pod)?;
    enter_worker(&mut story, &worker)?;
    look_at_worker(&mut story, &worker)?;
    attach(&mut story, &pod)?;
    end(&mut story, &pod, &worker)?;
    let after = Footprint::of(node)?;
    ensure!(before == after, "something is left behind: before {before}, after {after}");
    story.tell("left behind", &format!("nothing: {after}, as before"));
    println!(
        "\nThe whole story took {:.1} s. Look around yourself: cargo xtask node shell",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn introduce(node: &Node) -> Result<()> {
    let kernel = node.command(["uname", "-r"]).run()?;
    let containerd = node.command(["containerd", "--version"]).run()?;
    let ballast = node.command(["containerd-shim-ballast-v2", "-v"]).run()?;
    let version = containerd.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let place = if node.shares_the_kernel() { "of this machine" } else { "in user mode" };
    println!("\nLinux {} {place}, cgroup v2, containerd {version}", kernel.trim());
    println!("{}\n", ballast.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn run_pod(story: &mut Story<'_>) -> Result<String> {
    let config = json!({
        "metadata": {"name": "demo", "uid": "demo", "namespace": "default", "attempt": 1},
        "hostname": "demo",
        "log_directory": "/var/log/demo",
        "linux": {"cgroup_parent": "/kubepods/burstable/poddemo", "security_context": {"namespace_options": {"pid": PID_PER_CONTAINER}}}
    });
    story.write(POD_CONFIG, &config)?;
    story.node().command(["crictl", "pull", IMAGE]).run()?;
    let pod = story.crictl(&["runp", "--runtime", "ballast", POD_CONFIG])?;
    story.tell("runp", &format!("pod {} is ready; RuntimeClass ballast", short(&pod)));
    Ok(pod)
}

fn start_worker(story: &mut Story<'_>, pod: &str) -> Result<String> {
    let script =
        "trap 'echo bye; exit 0' TERM; echo \"hello from $(hostname)\"; while :; do sleep 60 & wait $!; done";
    let container = container(story, pod, "worker", json!({"command": ["sh", "-c", script]}))?;
    let state = inspect(story, &container)?;
    story.tell(
        "create",
        &format!(
            "container {} is {}: its process waits just before execve",
            short(&container),
            state_of(&state)
        ),
    );
    story.crictl(&["start", &container])?;
    let state = inspect(story, &container)?;
    ensure!(state_of(&state) == "CONTAINER_RUNNING", "after start: {state}");
    story.tell("start", &format!("it runs as pid {}", state.pointer("/info/pid").unwrap_or(&Value::Null)));
    Ok(container)
}

fn enter_worker(story: &mut Story<'_>, container: &str) -> Result<()> {
    let output = story.crictl(&[
        "exec",
        container,
        "sh",
        "-c",
        "echo \"$(id -un) on $(hostname), pid 1 is $(cat /proc/1/comm)\"",
    ])?;
    ensure!(output == "root on demo, pid 1 is sh", "exec printed {output:?}");
    story.tell("exec", &output);
    let ending = story.node().command(["crictl", "exec", container, "sh", "-c", "exit 7"]).output()?;
    ensure!(!ending.success() && ending.stderr.contains("exit code 7"), "exec of `exit 7`: {ending:?}");
    story.tell("exec", "`sh -c 'exit 7'` comes back as exit code 7");
    let terminal = story
        .node()
        .command(["crictl", "exec", "-it", container, "sh"])
        .terminal(WindowSize { rows: 30, columns: 100 })
        // crictl tells the terminal its size once the shell runs, and not before.
        .stdin("tty; until stty size | grep -v '^0 0$'; do :; done; exit 3\n")
        .output()?;
    let printed = terminal.stdout.replace('\r', "");
    ensure!(printed.contains("/dev/pts/0"), "exec -it printed {printed:?}");
    let size = printed
        .lines()
        .find(|line| line.split(' ').all(|word| word.parse::<u16>().is_ok()) && line.contains(' '));
    let (rows, columns) = size.and_then(|size| size.split_once(' ')).context("stty printed no size")?;
    story.tell("exec -it", &format!("a shell on /dev/pts/0 with {rows} rows and {columns} columns"));
    Ok(())
}

fn look_at_worker(story: &mut Story<'_>, container: &str) -> Result<()> {
    let logs = story.crictl(&["logs", container])?;
    ensure!(logs == "hello from demo", "logs printed {logs:?}");
    story.tell("logs", &logs);
    let stats: Value =
        serde_json::from_str(&story.crictl(&["stats", "--output", "json", "--id", container])?)?;
    let number = |pointer: &str| {
        let value = stats.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
        value.with_context(|| format!("stats have no {pointer}: {stats}"))
    };
    let memory = number("/stats/0/memory/usageBytes/value")?;
    let cpu = number("/stats/0/cpu/usageCoreNanoSeconds/value")?;
    ensure!(memory > 0 && cpu > 0, "stats are empty: {stats}");
    story.tell("stats", &format!("{} KiB of memory, {} ms of CPU", memory / 1024, cpu / 1_000_000));
    let state = inspect(story, container)?;
    let pid = state.pointer("/info/pid").and_then(Value::as_u64).context("inspect has no pid")?;
    let cgroup = story.node().command(["cat", &format!("/proc/{pid}/cgroup")]).run()?;
    let cgroup = cgroup.trim().trim_start_matches("0::").replace(container, short(container));
    story.tell("inspect", &format!("pid {pid} lives in {cgroup}"));
    Ok(())
}

fn attach(story: &mut Story<'_>, pod: &str) -> Result<()> {
    let script = "while read line; do echo \"you said $line\"; done; exit 5";
    let options = json!({"command": ["sh", "-c", script], "stdin": true, "stdin_once": true});
    let container = container(story, pod, "echo", options)?;
    story.crictl(&["start", &container])?;
    let attached =
        story.node().command(["crictl", "attach", "-i", &container]).stdin("good morning\n").output()?;
    ensure!(attached.stdout.trim() == "you said good morning", "attach: {attached:?}");
    story.tell("attach", attached.stdout.trim());
    story.wait_for_exit(&container)?;
    let state = inspect(story, &container)?;
    ensure!(
        state.pointer("/status/exitCode") == Some(&json!(5)),
        "after the end of its input: {}",
        state["status"]
    );
    story.tell("inspect", "end of input ended it with exit code 5, as it asked for");
    story.crictl(&["rm", &container])?;
    Ok(())
}

fn end(story: &mut Story<'_>, pod: &str, container: &str) -> Result<()> {
    story.crictl(&["stop", "--timeout", "10", container])?;
    let logs = story.crictl(&["logs", container])?;
    let state = inspect(story, container)?;
    ensure!(
        logs.ends_with("bye") && state.pointer("/status/exitCode") == Some(&json!(0)),
        "after stop: {logs:?}, {}",
        state["status"]
    );
    story.tell("stop", "SIGTERM reached its handler; exit code 0");
    story.crictl(&["rm", container])?;
    story.tell("rm", &format!("container {} is gone", short(container)));
    story.crictl(&["stopp", pod])?;
    story.crictl(&["rmp", pod])?;
    story.tell("rmp", &format!("pod {} is gone", short(pod)));
    story.node().command(["rm", "-rf", "/var/log/demo", POD_CONFIG]).run()?;
    Ok(())
}

fn container(story: &Story<'_>, pod: &str, name: &str, more: Value) -> Result<String> {
    let mut config = json!({
        "metadata": {"name": name, "attempt": 1},
        "image": {"image": IMAGE},
        "log_path": format!("{name}.log"),
        "linux": {
            "resources": {"memory_limit_in_bytes": 128 << 20, "cpu_shares": 512},
            "security_context": {"namespace_options": {"pid": PID_PER_CONTAINER}}
        }
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    let path = format!("/run/demo-{name}.json");
    story.write(&path, &config)?;
    let id = story.crictl(&["create", pod, &path, POD_CONFIG])?;
    story.node().command(["rm", &path]).run()?;
    Ok(id)
}

fn inspect(story: &Story<'_>, container: &str) -> Result<Value> {
    Ok(serde_json::from_str(&story.crictl(&["inspect", container])?)?)
}

fn state_of(inspected: &Value) -> &str {
    inspected.pointer("/status/state").and_then(Value::as_str).unwrap_or("unknown")
}

/// As crictl shortens ids.
fn short(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}
