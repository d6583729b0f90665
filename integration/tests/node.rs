//! The node itself: what every other test takes for granted. Runs on the node.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A command's standard output, or what it said when it failed.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{program} {arguments:?}: {}{}", text(&output.stderr), text(&output.stdout)))
}

#[test]
fn cgroup_v2_is_the_only_hierarchy_and_hands_down_the_controllers() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(own.lines().count(), 1, "{own}");
    let enabled = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap();
    for controller in ["cpu", "io", "memory", "pids"] {
        assert!(enabled.split_whitespace().any(|name| name == controller), "{controller} not in {enabled}");
    }
}

#[test]
fn containerd_knows_the_three_runtimes() {
    let info = run("crictl", &["info"]).unwrap();
    for runtime in ["\"runc\"", "\"crun\"", "\"ballast\""] {
        assert!(info.contains(runtime), "{runtime} not in {info}");
    }
}

#[test]
fn an_image_comes_from_the_nodes_own_registry() {
    run("crictl", &["pull", "registry.k8s.io/pause:3.10.2"]).unwrap();
    assert!(run("crictl", &["images"]).unwrap().contains("registry.k8s.io/pause"));
}

#[test]
fn a_pod_of_the_yardstick_gets_an_address() {
    let config = "/tmp/node-test-pod.json";
    let pod = r#"{"metadata":{"name":"node-test","namespace":"default","uid":"node-test"},"linux":{}}"#;
    fs::write(config, pod).unwrap();
    let id = run("crictl", &["runp", "--runtime", "runc", config]).unwrap();
    let status = run("crictl", &["inspectp", id.trim()]).unwrap();
    run("crictl", &["rmp", "--force", id.trim()]).unwrap();
    assert!(status.contains("\"ip\": \"10.88."), "{status}");
}

#[test]
fn fuse_and_overlay_are_there() {
    assert!(Path::new("/dev/fuse").exists());
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    assert!(known.contains("\tfuse\n") && known.contains("\toverlay\n"), "{known}");
}

#[test]
fn the_kernel_kills_a_whole_cgroup() {
    let cgroup = "/sys/fs/cgroup/node-test-kill";
    fs::create_dir(cgroup).unwrap();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(format!("{cgroup}/cgroup.procs"), child.id().to_string()).unwrap();
    fs::write(format!("{cgroup}/cgroup.kill"), "1").unwrap();
    let status = child.wait().unwrap();
    fs::remove_dir(cgroup).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}
