//! What becomes of readers when what serves them stops, dies, or is replaced, and when the container is gone.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::readers::Readers;
use super::{DEBIAN, MI, PROGRAMS, asking, column, limited, limited_to, node, total_kib};
use ballast_integration::testbed::command::{crictl, run};
use ballast_integration::testbed::pod::Pod;
use ballast_integration::testbed::process::{Process, ask_until};
use ballast_integration::testbed::scratch::Scratch;
use rustix::process::Signal;

const LIVE: [&str; 4] = ["/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/uptime"];

fn shim(pod: &Pod) -> Process {
    Process::open(pod.shims()[0]).expect("the shim is gone")
}

/// A command of the node's that sees the mounts of a container's process, but is not in the container.
fn outside(container: &Process, command: &[&str], output: Stdio) -> Child {
    Command::new("nsenter")
        .args(["--mount", "--target", &container.pid.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_shim_leaves_no_reader_waiting() {
    let mut node = node();
    node.pull(PROGRAMS);
    let pod = node.pod(asking());
    let readers = Readers::start(&pod, 8, "opened", &LIVE);
    readers.wait_for_texts(100);
    let process = readers.container.process();
    // Nobody but the failing read ends this one.
    let script = "echo up; exec >/dev/null; while cat /proc/meminfo /proc/stat; do :; done; exit 7";
    let mut survivor = outside(&process, &["sh", "-c", script], Stdio::piped());
    let mut up = [0; 3];
    survivor.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    shim(&pod).signal(Signal::KILL);
    process.wait();
    assert_eq!(survivor.wait().unwrap().code(), Some(7));
    ask_until("the pod's end at CRI", || (!pod.is_ready()).then_some(()));
    // What kubelet does until it succeeds: the first attempts meet a container that containerd still believes in.
    ask_until("the pod's removal", || {
        (run("crictl", &["rmp", "--force", &pod.id]).code == Some(0)).then_some(())
    });
}

#[test]
fn a_reader_of_a_stopped_shim_can_be_killed() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let process = container.process();
    let shim = shim(&pod);
    shim.signal(Signal::STOP);
    ask_until("the shim's stop", || shim.status("State").starts_with('T').then_some(()));
    let mut reader = outside(&process, &["cat", "/proc/meminfo"], Stdio::null());
    let waiting = Process::open(reader.id()).unwrap();
    ask_until("the reader's wait", || {
        (waiting.status("Name") == "cat" && waiting.status("State").starts_with('S')).then_some(())
    });
    waiting.signal(Signal::KILL);
    // Before the shim goes on.
    assert_eq!(reader.wait().unwrap().code(), None);
    shim.signal(Signal::CONT);
    assert_eq!(total_kib(&container), 64 * 1024);
}

#[test]
fn a_descriptor_that_outlives_its_container_gives_an_error_and_keeps_nothing() {
    let mut node = node();
    let pod = node.pod(asking());
    let container = pod.start(limited());
    let pid = container.process().pid;
    let mut files = LIVE.map(|path| fs::File::open(format!("/proc/{pid}/root{path}")).unwrap());
    let mut text = String::new();
    for file in &mut files {
        file.read_to_string(&mut text).unwrap();
    }
    crictl(&["rm", "--force", &container.id]);
    for file in &mut files {
        std::io::Seek::rewind(file).unwrap();
        let error = file.read_to_string(&mut text).unwrap_err();
        let errno = rustix::io::Errno::from_io_error(&error);
        assert!(
            matches!(errno, Some(rustix::io::Errno::NOTCONN | rustix::io::Errno::CONNABORTED)),
            "{error}"
        );
    }
}

/// How many threads of a process have this name.
fn threads(process: &Process, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid)).unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

#[test]
fn the_end_of_a_container_is_nothing_to_the_others_of_its_pod() {
    let mut node = node();
    let pod = node.pod(asking());
    let (first, second) = (pod.start(limited_to(64 * MI)), pod.start(limited_to(96 * MI)));
    let readers = Readers::start(&pod, 2, "opened", &LIVE);
    readers.wait_for_texts(10);
    assert_eq!((total_kib(&first), total_kib(&second)), (64 * 1024, 96 * 1024));
    assert_eq!(threads(&shim(&pod), "proc-view"), 1, "one thread serves all");
    crictl(&["rm", "--force", &first.id]);
    readers.wait_for_texts(100);
    assert_eq!(total_kib(&second), 96 * 1024);
    assert_eq!(second.exec(&["cat", "/sys/devices/system/cpu/online"]), "0");
    let third = pod.start(limited_to(32 * MI));
    assert_eq!((total_kib(&third), total_kib(&second)), (32 * 1024, 96 * 1024));
}

#[test]
fn a_view_that_was_cut_off_is_an_error_and_the_next_container_has_one_again() {
    let mut node = node();
    let pod = node.pod(asking());
    let first = pod.start(limited_to(64 * MI));
    assert_eq!(total_kib(&first), 64 * 1024);
    // As an administrator does to whatever hangs.
    let connection = first.exec(&["stat", "--format", "%d", "/proc/meminfo"]);
    let connections = "/sys/fs/fuse/connections";
    let abort = format!(
        "mount -t fusectl fusectl {connections} && echo 1 >{connections}/{}/abort",
        connection.trim()
    );
    run("unshare", &["--mount", "sh", "-c", &abort]).expect_success("abort the connection");
    let cut_off = first.try_exec(&["cat", "/proc/meminfo"]);
    assert!(cut_off.code != Some(0) && cut_off.stderr.contains("not connected"), "{cut_off:?}");
    assert_eq!(first.exec(&["cat", "/sys/devices/system/cpu/online"]), "0", "the other file system goes on");
    let second = pod.start(limited_to(96 * MI));
    assert_eq!(total_kib(&second), 96 * 1024);
    assert_eq!(
        threads(&shim(&pod), "proc-view"),
        2,
        "the first container's is still there for the rest of its view"
    );
    crictl(&["rm", "--force", &first.id]);
    assert_eq!((threads(&shim(&pod), "proc-view"), total_kib(&second)), (1, 96 * 1024));
}

/// By something that runs and does nothing of a shim's.
fn replace(program: &Path) {
    let other = program.with_extension("new");
    fs::write(&other, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&other, program).unwrap();
}

#[test]
fn a_replaced_binary_changes_nothing_for_what_runs() {
    let node = node();
    let scratch = Scratch::new("replaced");
    let copy = scratch.path("containerd-shim-ballast-v2");
    fs::copy(node.shim_program(), &copy).unwrap();
    let ctr = |arguments: &[&str]| run("ctr", &[&["-n", "k8s.io"], arguments].concat());
    let name = "replaced-binary";
    let options = ["--runtime", copy.to_str().unwrap(), "--memory-limit", "67108864"];
    let created = ctr(&[&["run", "--detach"], &options[..], &[DEBIAN, name, "sleep", "1000"]].concat());
    created.expect_success("ctr run");
    replace(&copy);
    let meminfo = ctr(&["task", "exec", "--exec-id", "reader", name, "cat", "/proc/meminfo"]);
    assert_eq!(column(&meminfo.expect_success("ctr task exec"), "MemTotal:", 1), 64 * 1024);
    ctr(&["task", "kill", "--signal", "SIGKILL", name]).expect_success("ctr task kill");
    ask_until("the task's end", || {
        ctr(&["task", "ls"])
            .stdout
            .lines()
            .any(|line| line.starts_with(name) && line.contains("STOPPED"))
            .then_some(())
    });
    ctr(&["task", "rm", name]).expect_success("ctr task rm");
    ctr(&["container", "rm", name]).expect_success("ctr container rm");
    node.remove_ctr_cgroup();
}
